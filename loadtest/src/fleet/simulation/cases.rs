//! What holds in each case, whatever its seed.

use super::*;

/// What one process reports of the same samples.
fn alone() -> Report {
    let order = Order { flags: Vec::new(), part: 0, parts: 1, run: 7 };
    let mut load = Load::new(&order, DAWN, DAWN);
    (1..=LENGTH.as_secs()).for_each(|second| drop(load.advance(DAWN + Duration::from_secs(second), false)));
    load.report(false)
}

#[test]
fn without_kills_both_sides_agree_and_percentiles_are_those_of_one_process() {
    let alone = alone();
    for_seeds(|seed| {
        let mut world = World::new(seed, 1 + seed % 4, seed, false);
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        let start = world.start.unwrap();
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Delivered));
            // Each starts when the coordinator wants, but for the error that is reported.
            let began = machine.load.as_ref().unwrap().start;
            let name = format!("m{}", machine.agent.order().unwrap().part);
            let member = world.gathered.iter().find(|member| member.part.to_string() == name[1..]);
            let clock = member.unwrap().clock.unwrap();
            assert!(clock.offset_ns.abs_diff(machine.offset) <= clock.uncertainty_ns);
            let skew = began.abs_diff(start);
            assert!(skew <= Duration::from_nanos(clock.uncertainty_ns), "{skew:?} of {clock:?}");
        }
        let sent = world.sent();
        let report = world.report();
        let (accepted, delivered) = (report.accounting.measured.accepted, report.delivered.unwrap());
        assert_eq!((accepted, delivered.at_least, delivered.at_most), (sent, sent, Some(sent)));
        assert_eq!(sent, alone.accounting.measured.accepted);
        assert_eq!(report.latency.message, alone.latency.message, "sample for sample");
        assert_eq!(report.intervals.len(), alone.intervals.len());
        assert!(report.agents.iter().all(|agent| agent.lost.is_none()));
    });
}

#[test]
fn what_a_killed_agent_has_sent_is_in_the_range_and_it_is_named() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        // From before the start to after the end.
        let at = DAWN + Duration::from_millis(world.random.rand_range(500..34_000));
        world.machines[1].killed = Some(at);
        world.run();
        if world.events.iter().any(|event| event == "m1 dropped") {
            return; // before the start: another could take its place
        }
        assert!(world.is_complete(), "{:?}", world.events);
        let sent = world.sent();
        // With losses, another may have learned of the start too late: it is named as well.
        let lost = world.events.iter().filter_map(|event| event.strip_suffix(" lost"));
        let mut lost: Vec<String> = lost.map(ToOwned::to_owned).collect();
        lost.sort();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        let named = report.agents.iter().filter(|agent| agent.lost.is_some()).map(|agent| agent.name.clone());
        let mut named: Vec<String> = named.collect();
        named.sort();
        assert_eq!(named, lost);
        assert!(report.accounting.measured.balances());
        assert_eq!(report.latency.message.ok.count(), report.accounting.measured.accepted);
    });
}

#[test]
fn an_agent_that_receives_a_signal_is_named_with_it_and_nothing_is_in_doubt() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        let signalled = DAWN + Duration::from_millis(world.random.rand_range(5_000..25_000));
        world.machines[1].signalled = Some(signalled);
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        let name =
            world.gathered.iter().find(|member| member.part == world.machines[1].agent.order().unwrap().part);
        let name = name.unwrap().name.clone();
        assert!(world.events.contains(&format!("{name} stopped: SIGTERM")), "{:?}", world.events);
        // It leaves with a report of its own where the others go on for long.
        let outcome = world.machines[1].outcome.clone().unwrap();
        let has_left = outcome == Outcome::Failed(Failure::Left("SIGTERM".to_owned()));
        assert!(has_left || outcome == Outcome::Delivered, "{outcome:?}");
        let others_go_on = seed % 2 == 0 && signalled < DAWN + Duration::from_secs(15);
        assert!(has_left || !others_go_on, "{outcome:?}");
        let (sent, alone) = (world.sent(), alone().accounting.measured.accepted);
        assert!(sent < alone, "{sent}");
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
        for row in &report.agents {
            let expected = match (row.name == name, seed % 2 == 1) {
                (true, _) => Some(Stopped::Signal { signal: "SIGTERM".to_owned() }),
                (false, true) => Some(Stopped::LostAgent { agent: name.clone() }),
                (false, false) => None,
            };
            assert_eq!(row.stopped, expected, "{}", row.name);
        }
        assert_eq!(stopped_early(&report), [format!("{name} (SIGTERM)")]);
    });
}

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

/// Steps until the start is decided.
fn until_decided(world: &mut World) -> Duration {
    loop {
        world.step();
        if let Some(start) = world.start {
            return start;
        }
    }
}

#[test]
fn an_agent_that_signs_off_while_others_are_awaited_leaves_its_place_to_another() {
    for_seeds(|seed| {
        let mut world = World::with_spares(seed, 3, 2, seed, seed % 2 == 1);
        // All places are taken; one agent leaves, and one is gone before it was ready. The spare ones wait for their places.
        world.machines[3..].iter_mut().for_each(|machine| machine.begins = DAWN + Duration::from_secs(1));
        while world.machines[0].agent.id().is_none() {
            world.step();
        }
        world.machines[0].killed = Some(world.now);
        let left = DAWN + Duration::from_millis(world.random.rand_range(1_500..4_500));
        world.machines[1].signalled = Some(left);
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        assert_eq!(
            world.machines[1].outcome,
            Some(Outcome::Failed(Failure::Interrupted("SIGTERM".to_owned())))
        );
        assert!(world.machines[1].load.is_none());
        let delivered = [2, 3, 4].map(|index| world.machines[index].outcome.clone());
        assert!(delivered.iter().all(|outcome| *outcome == Some(Outcome::Delivered)), "{delivered:?}");
        let sent = world.sent();
        assert_eq!(sent, alone().accounting.measured.accepted);
        assert_eq!(world.report().delivered.unwrap().at_most, Some(sent));
    });
}

#[test]
fn an_agent_that_builds_its_plan_for_long_is_there_meanwhile_and_can_sign_off() {
    for_seeds(|seed| {
        let mut world = World::with_spares(seed, 3, 1, seed, seed % 2 == 1);
        world.machines[3].begins = DAWN + Duration::from_secs(20);
        world.machines[1].builds = Duration::from_secs(30);
        // In the second half of the seeds it does not go on building: the spare one takes its place.
        world.machines[1].signalled = (seed >= 3).then_some(DAWN + Duration::from_secs(21));
        let start = until_decided(&mut world);
        assert_eq!(start >= DAWN + Duration::from_secs(30), seed < 3, "{start:?}");
        world.machines[3].killed = (seed < 3).then_some(world.now);
        world.run();
        assert!(!world.events.iter().any(|event| event.ends_with("dropped")), "{:?}", world.events);
        let left = Outcome::Failed(Failure::Interrupted("SIGTERM".to_owned()));
        let expected = if seed < 3 { Outcome::Delivered } else { left };
        assert_eq!(world.machines[1].outcome, Some(expected));
        assert_eq!(world.sent(), alone().accounting.measured.accepted);
    });
}

#[test]
fn an_agent_whose_link_is_cut_while_it_waits_for_others_gets_its_place_again() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        world.machines[2].begins = DAWN + Duration::from_secs(35);
        // Longer than an agent goes on alone in its run, and than its coordinator waits for it before.
        let cut = DAWN + Duration::from_millis(world.random.rand_range(1_000..6_000));
        let healed = cut + Duration::from_millis(world.random.rand_range(12_000..25_000));
        world.machines[1].cut = Some((cut, healed));
        world.run();
        assert!(world.events.contains(&"m1 dropped".to_owned()), "{:?}", world.events);
        assert!(world.is_complete(), "{:?}", world.events);
        assert!(world.machines.iter().all(|machine| machine.outcome == Some(Outcome::Delivered)));
        assert_eq!(world.sent(), alone().accounting.measured.accepted);
    });
}

#[test]
fn an_agent_whose_coordinator_is_gone_before_the_run_tries_as_long_as_it_was_asked_to() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 2, seed, false);
        world.machines[1].killed = Some(DAWN);
        let gone = DAWN + Duration::from_millis(world.random.rand_range(1_000..6_000));
        world.dies = Some(gone);
        world.run();
        assert_eq!(world.machines[0].outcome, Some(Outcome::Failed(Failure::Orphaned)));
        let tried = world.now.saturating_sub(gone);
        assert!((Duration::from_secs(58)..Duration::from_secs(62)).contains(&tried), "{tried:?}");
    });
}

#[test]
fn no_agent_sends_where_one_is_lost_between_the_decision_and_the_start() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, true);
        let decided = until_decided(&mut world).checked_sub(Duration::from_secs(5)).unwrap();
        let at = |millis| Some(decided + Duration::from_millis(millis));
        let millis = world.random.rand_range(50..400);
        match seed % 3 {
            0 => world.machines[1].killed = at(millis),
            1 => world.machines[1].signalled = at(millis),
            _ => world.machines[1].cut = at(millis).map(|from| (from, Duration::MAX)),
        }
        world.run();
        let ending = world.coordinator.ending().unwrap();
        assert!(matches!(ending, Ending::Unstarted(Unstarted::Lost(..))), "{ending:?}: {:?}", world.events);
        assert_eq!(world.sent(), 0);
        for index in [0, 2] {
            let outcome = world.machines[index].outcome.clone().unwrap();
            assert!(
                matches!(&outcome, Outcome::Failed(Failure::Stopped(why)) if why.contains("was lost")),
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn a_coordinator_that_stood_still_after_its_decision_starts_all_agents_in_time_or_none() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, true);
        let decided = until_decided(&mut world);
        // Until shortly before the start, and after it.
        let until = world.now + Duration::from_millis(4_200 + 300 * seed);
        if seed % 2 == 1 {
            world.machines[1].killed = Some(world.now + Duration::from_millis(500));
        }
        while world.now < until {
            world.now += STEP;
            let is_there = |index: &usize| world.machines[*index].killed.is_none_or(|at| world.now < at);
            let there: Vec<usize> = (0..world.machines.len()).filter(is_there).collect();
            there.into_iter().for_each(|index| world.work_unanswered(index));
        }
        world.run();
        let (start, sent) = (world.start.unwrap(), world.sent());
        assert!(start >= until + Duration::from_secs(3), "{start:?} after {decided:?} and {until:?}");
        if seed % 2 == 1 {
            let ending = world.coordinator.ending().unwrap();
            assert!(
                matches!(ending, Ending::Unstarted(Unstarted::Lost(..))),
                "{ending:?}: {:?}",
                world.events
            );
            assert_eq!(sent, 0);
            return;
        }
        assert!(world.is_complete(), "{:?}", world.events);
        assert!(world.machines.iter().all(|machine| machine.outcome == Some(Outcome::Delivered)));
        assert_eq!(sent, alone().accounting.measured.accepted);
    });
}

#[test]
fn a_signal_at_any_time_is_named_and_the_range_is_right() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        let start = until_decided(&mut world);
        let at = world.random.rand_range(0..4_000);
        world.machines[2].signalled = Some(start + Duration::from_millis(at) - Duration::from_secs(3));
        world.run();
        let sent = world.sent();
        if let Some(Ending::Unstarted(Unstarted::Lost(..))) = world.coordinator.ending() {
            assert_eq!(sent, 0);
            return;
        }
        assert!(world.is_complete(), "{:?}", world.events);
        let events = world.events.clone();
        let outcome = world.machines[2].outcome.clone();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        let named = [stopped_early(&report), lost(&report)].concat();
        assert!(named.iter().any(|one| one.contains("SIGTERM")), "{named:?}: {events:?} {outcome:?}");
    });
}

#[test]
fn a_coordinator_that_stood_still_loses_no_agent_and_names_those_that_stopped() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 2, 0, false);
        while world.start.is_none_or(|start| world.now < start + Duration::from_secs(4)) {
            world.step();
        }
        let pause = Duration::from_secs(if seed % 2 == 0 { 8 } else { 17 });
        let until = world.now + pause;
        while world.now < until {
            world.now += STEP;
            (0..world.machines.len()).for_each(|index| world.work_unanswered(index));
        }
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        assert!(!world.events.iter().any(|event| event.ends_with("lost")), "{:?}", world.events);
        let (sent, events) = (world.sent(), world.events.clone());
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
        let expected = if seed % 2 == 0 { 0 } else { 2 };
        assert_eq!(stopped_early(&report).len(), expected, "{events:?}");
    });
}

#[test]
fn a_link_that_heals_leaves_nothing_in_doubt_and_one_that_does_not_stops_its_agent() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 5, false);
        let from = DAWN + Duration::from_millis(world.random.rand_range(8_000..15_000));
        let length = if seed % 2 == 0 { Duration::from_millis(7_000) } else { Duration::MAX };
        world.machines[2].cut = Some((from, from.saturating_add(length)));
        world.run();
        let (sent, start) = (world.sent(), world.start.unwrap());
        let load = world.machines[2].load.as_ref().unwrap();
        if seed % 2 == 0 {
            assert!(world.events.contains(&"m2 back".to_owned()), "{:?}", world.events);
            assert_eq!(world.machines[2].outcome, Some(Outcome::Delivered));
        } else {
            assert_eq!(world.machines[2].outcome, Some(Outcome::Failed(Failure::Undelivered(None))));
            let most = due(&load.plan, (from + STOPS_WITHIN).saturating_sub(start)).unwrap();
            assert!(load.sent <= most, "{} of {most}", load.sent);
        }
        let delivered = world.report().delivered.unwrap();
        let range = delivered.at_least..=delivered.at_most.unwrap();
        assert!(range.contains(&sent), "{sent} of {delivered:?}");
        assert_eq!(range.start() == range.end(), seed % 2 == 0, "{delivered:?}");
    });
}

#[test]
fn an_agent_that_stood_still_sends_nothing_after_that_whatever_goes_on_first() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        let start = until_decided(&mut world);
        let from = start + Duration::from_millis(world.random.rand_range(3_000..10_000));
        // The coordinator still waits for it after the first pauses, and has written its report long before the end of
        // the others.
        let length = Duration::from_millis(world.random.rand_range(match seed % 2 {
            0 => 11_000..13_000,
            _ => 40_000..60_000,
        }));
        world.machines[1].paused = Some((from, from + length));
        while world.now < from {
            world.step();
        }
        let sent = world.machines[1].load.as_ref().unwrap().sent;
        world.run();
        while world.machines[1].outcome.is_none() {
            world.step();
        }
        let part = world.machines[1].agent.report_of_part().unwrap();
        assert_eq!(world.machines[1].load.as_ref().unwrap().sent, sent);
        assert_eq!(part.accounting.measured.accepted, sent);
        let why = part.agents[0].stopped.as_ref();
        assert!(matches!(why, Some(Stopped::NoCoordinator { .. })), "{why:?}");
        let (all, events) = (world.sent(), world.events.clone());
        let delivered = world.report().delivered.unwrap();
        let range = delivered.at_least..=delivered.at_most.unwrap();
        assert!(range.contains(&all), "{all} of {delivered:?}: {events:?}");
        assert_eq!(range.start() == range.end(), seed % 2 == 0, "{delivered:?}");
    });
}

#[test]
fn agents_of_a_coordinator_that_is_gone_stop_within_the_bound_and_have_their_reports() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        let gone = DAWN + Duration::from_secs(10);
        world.machines.iter_mut().for_each(|machine| machine.cut = Some((gone, Duration::MAX)));
        while world.machines.iter().any(|machine| machine.outcome.is_none()) {
            world.step();
            assert!(world.now < DAWN + Duration::from_secs(300));
        }
        let start = world.start.unwrap();
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Failed(Failure::Undelivered(None))));
            let load = machine.load.as_ref().unwrap();
            let most = due(&load.plan, (gone + STOPS_WITHIN).saturating_sub(start)).unwrap();
            assert!(load.sent <= most, "{} of {most}", load.sent);
            assert_eq!(machine.agent.report_of_part().unwrap().accounting.measured.accepted, load.sent);
        }
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
fn what_a_run_that_failed_has_sent_is_in_the_range() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        // The first half of the seeds before its first second is complete.
        let at = world.random.rand_range(if seed < 3 { 200..900 } else { 1_000..29_000 });
        world.machines[1].breaks = Some(start + Duration::from_millis(at));
        world.run();
        assert_eq!(
            world.machines[1].outcome,
            Some(Outcome::Failed(Failure::Broken("no descriptors".to_owned())))
        );
        let sent = world.sent();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        assert!(lost(&report)[0].contains("its run failed: no descriptors"), "{:?}", lost(&report));
    });
}

#[test]
fn an_agent_that_is_ready_with_another_plan_or_an_unknown_one_does_not_start() {
    let none = r#"{"state":"armed","clock":null}"#;
    assert!(serde_json::from_str::<Update>(none).is_err());
    for digest in [r"{}", r#"{"seed":"0000000000000000"}"#] {
        let mut world = World::new(1, 1, 0, false);
        while world.machines[0].agent.id().is_none() {
            world.step();
        }
        let id = world.machines[0].agent.id().unwrap().to_owned();
        let armed = format!(r#"{{"state":{{"armed":{digest}}},"clock":null}}"#);
        world.coordinator.update(world.now, &id, serde_json::from_str(&armed).unwrap()).unwrap();
        let ending = world.coordinator.ending().unwrap();
        let is_named = |why: &str| why.contains("differs from the coordinator's");
        assert!(
            matches!(ending, Ending::Unstarted(Unstarted::Unable(name, why)) if name == "m0" && is_named(why)),
            "{ending:?}"
        );
    }
}

#[test]
fn an_agent_that_can_not_start_its_run_is_named_at_once_and_has_sent_nothing() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        world.machines[1].fails = true;
        let start = until_decided(&mut world);
        while world.now < start {
            world.step();
        }
        assert!(world.events.contains(&"m1 lost".to_owned()), "{:?}", world.events);
        world.run();
        assert_eq!(world.machines[1].outcome, Some(Outcome::Failed(Failure::Unable("no thread".to_owned()))));
        let sent = world.sent();
        let report = world.report();
        assert_eq!(lost(&report), ["m1 (no thread)"]);
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
    });
}

#[test]
fn one_old_request_of_an_agent_that_is_gone_does_not_bring_it_back() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        let cut = start + Duration::from_millis(world.random.rand_range(2_000..6_000));
        // What it has sent into the dead link arrives when it is late, or lost.
        let heals = cut + Duration::from_secs(if seed < 3 { 9 } else { 19 });
        world.machines[2].cut = Some((cut, heals));
        world.machines[2].killed = Some(cut + Duration::from_secs(5));
        world.run();
        let events = world.events.clone();
        assert!(!events.contains(&"m2 back".to_owned()), "{events:?}");
        assert_eq!(events.last().map(String::as_str), Some("m2 lost"), "{events:?}");
        let sent = world.sent();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        assert_eq!(lost(&report).len(), 1, "{:?}", lost(&report));
    });
}

#[test]
fn an_agent_that_stopped_without_its_coordinator_is_not_back_when_its_link_heals() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        let from = start + Duration::from_millis(world.random.rand_range(2_000..6_000));
        // Longer than an agent goes on alone; with the second half of the seeds it is lost meanwhile.
        let length = Duration::from_millis(world.random.rand_range(if seed < 3 {
            12_000..14_000
        } else {
            17_000..20_000
        }));
        world.machines[2].cut = Some((from, from + length));
        world.run();
        let (events, sent) = (world.events.clone(), world.sent());
        assert!(!events.iter().any(|event| event == "m2 back"), "{events:?}");
        assert!(events.iter().any(|event| event.starts_with("m2 stopped: no exchange with")), "{events:?}");
        assert_eq!(events.contains(&"m2 lost".to_owned()), seed >= 3, "{events:?}");
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
        assert!(
            stopped_early(&report)[0].starts_with("m2 (no exchange with"),
            "{:?}",
            stopped_early(&report)
        );
    });
}
