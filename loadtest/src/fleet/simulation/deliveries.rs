//! From the end of an agent's run until its report is delivered, or its own.

use super::*;

#[test]
fn a_signal_to_an_agent_whose_run_the_coordinator_has_ended_leaves_its_delivery_alone() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        world.machines.iter_mut().for_each(|machine| machine.grace = Duration::from_secs(3));
        while world.now < start + Duration::from_secs(5) {
            world.step();
        }
        world.coordinator.interrupt("SIGINT");
        while world.machines[1].agent.stopped().is_none() {
            world.step();
        }
        world.machines[1].signalled = Some(world.now + Duration::from_millis(300));
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Delivered));
        }
        let ordered = Stopped::CoordinatorSignal { signal: "SIGINT".to_owned() };
        let sent = world.sent();
        let report = world.report();
        assert!(report.agents.iter().all(|row| row.stopped.as_ref() == Some(&ordered)));
        assert_eq!(report.delivered.unwrap().at_most, Some(sent));
    });
}

#[test]
fn a_signal_to_an_agent_that_has_no_coordinator_ends_it_with_its_report_while_its_run_ends_as_well() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        let gone = DAWN + Duration::from_secs(10);
        for machine in &mut world.machines {
            (machine.cut, machine.grace) = (Some((gone, Duration::MAX)), Duration::from_secs(3));
        }
        while world.machines[1].agent.stopped().is_none() {
            world.step();
        }
        let at = world.now + Duration::from_millis(300);
        world.machines[1].signalled = Some(at);
        while world.machines[1].outcome.is_none() {
            world.step();
            assert!(world.now < at + Duration::from_secs(10));
        }
        assert_eq!(world.machines[1].outcome, Some(Outcome::Failed(Failure::Left("SIGTERM".to_owned()))));
        assert!(world.machines[1].agent.report_of_part().is_some());
    });
}

#[test]
fn a_part_that_was_handed_in_is_not_lost_with_its_coordinator() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        // From the first reports on until after the coordinator's own is written.
        let dies = start + LENGTH + Duration::from_millis(world.random.rand_range(0..3_000));
        world.dies = Some(dies);
        world.run();
        let is_written = world.concludes.is_some_and(|at| at <= dies);
        for machine in &world.machines {
            let outcome = machine.outcome.clone().unwrap();
            assert!(
                is_written || outcome == Outcome::Failed(Failure::Undelivered(None)),
                "{outcome:?} without a report"
            );
            let report = machine.agent.report_of_part().unwrap();
            assert_eq!(report.accounting.measured.accepted, machine.load.as_ref().unwrap().sent);
        }
    });
}

#[test]
fn an_agent_that_is_cut_off_at_the_end_is_waited_for_unless_it_is_gone() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        until_decided(&mut world);
        while world.gathered.is_empty() {
            world.step();
        }
        // It has handed in its part, and does not learn what becomes of it.
        world.machines[1].cut = Some((world.now, world.now + Duration::from_secs(6)));
        world.machines[2].killed = (seed % 2 == 1).then_some(world.now);
        world.concludes = Some(world.now);
        let (cut, mut informed) = (world.now, None);
        while informed.is_none() {
            world.step();
            informed = world.coordinator.has_informed_all(world.now).then_some(world.now);
        }
        let waited = informed.unwrap().saturating_sub(cut).as_millis();
        let expected = if seed % 2 == 1 { 14_000..16_000 } else { 6_000..8_000 };
        assert!(expected.contains(&waited), "{waited} ms");
        world.run();
        assert_eq!(world.machines[1].outcome, Some(Outcome::Delivered));
    });
}

#[test]
fn an_agent_counts_as_informed_when_the_reply_has_come() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 4, 0, false);
        until_decided(&mut world);
        while world.gathered.is_empty() {
            world.step();
        }
        world.loss = 50;
        while !world.coordinator.has_informed_all(world.now) {
            world.step();
        }
        let outcomes = world.machines.iter().map(|machine| machine.outcome.clone());
        let outcomes: Vec<_> = outcomes.collect();
        assert!(outcomes.iter().all(|outcome| *outcome == Some(Outcome::Delivered)), "{outcomes:?}");
    });
}

#[test]
fn an_agent_whose_run_ended_long_ago_waits_for_a_coordinator_that_is_gone_for_a_while() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let ended = until_decided(&mut world) + LENGTH;
        world.writes_after = Duration::from_secs(100);
        // Longer than an agent goes on alone, and shorter than it tries to deliver.
        let gone = [62, 90].map(|second| ended + Duration::from_secs(second));
        world.machines.iter_mut().for_each(|machine| machine.cut = Some((gone[0], gone[1])));
        world.run();
        let outcomes = world.machines.iter().map(|machine| machine.outcome.clone());
        let outcomes: Vec<_> = outcomes.collect();
        assert!(outcomes.iter().all(|outcome| *outcome == Some(Outcome::Delivered)), "{outcomes:?}");
    });
}

#[test]
fn after_a_signal_an_agent_without_a_coordinator_has_its_report_soon() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        // Before and after the agents find out, and after their run.
        let dies = start + Duration::from_millis(world.random.rand_range(3_000..35_000));
        let signalled = dies + Duration::from_millis(world.random.rand_range(100..12_000));
        world.dies = Some(dies);
        world.machines.iter_mut().for_each(|machine| machine.signalled = Some(signalled));
        // Messages in flight, a request that waits for its reply, and the time for the delivery.
        let latest = signalled + Duration::from_secs(1 + 1 + 10) + STEP * 4;
        world.machines.iter_mut().for_each(|machine| machine.grace = Duration::from_secs(1));
        while world.machines.iter().any(|machine| machine.outcome.is_none()) {
            world.step();
            assert!(world.now <= latest, "{:?} after the signal", world.now - signalled);
        }
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Failed(Failure::Left("SIGTERM".to_owned()))));
            let report = machine.agent.report_of_part().unwrap();
            assert_eq!(report.accounting.measured.accepted, machine.load.as_ref().unwrap().sent);
        }
    });
}

#[test]
fn a_report_that_can_not_be_written_leaves_its_parts_to_the_agents() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        world.can_write = false;
        world.run();
        let dropped = Outcome::Failed(Failure::Dropped("no space left".to_owned()));
        assert!(world.machines.iter().all(|machine| machine.outcome.as_ref() == Some(&dropped)));
    });
}

#[test]
fn an_agent_that_asks_on_without_its_report_is_lost_a_minute_after_its_last_second() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        // In the second half of the seeds the report comes in time.
        let late = Duration::from_secs(if seed < 3 { 70 } else { 50 });
        world.machines[1].withholds = Some(late);
        let ended = until_decided(&mut world) + LENGTH;
        while world.coordinator.ending().is_none() {
            world.step();
        }
        let waited = world.now.saturating_sub(ended).as_secs();
        assert!(if seed < 3 { 60..64 } else { 49..54 }.contains(&waited), "{waited} s");
        world.run();
        assert_eq!(world.events.contains(&"m1 lost".to_owned()), seed < 3, "{:?}", world.events);
        let outcome = world.machines[1].outcome.clone();
        let dropped = Outcome::Failed(Failure::Dropped("the run was over when it came".to_owned()));
        assert_eq!(outcome, Some(if seed < 3 { dropped } else { Outcome::Delivered }));
        let sent = world.sent();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        if seed < 3 {
            assert_eq!(lost(&report), ["m1 (its report did not come within 60 s of its last second)"]);
        }
    });
}
