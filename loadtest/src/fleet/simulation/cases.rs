//! What holds in each case, whatever its seed.

use super::*;

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
fn a_part_that_a_second_signal_ended_is_lost_and_was_ended_early() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 2, 0, false);
        let start = until_decided(&mut world);
        let signalled = start + Duration::from_millis(world.random.rand_range(2_000..20_000));
        let machine = &mut world.machines[1];
        machine.signalled = Some(signalled);
        machine.grace = Duration::from_secs(3);
        // Its coordinator has heard of the first one.
        machine.killed = Some(signalled + Duration::from_secs(1));
        world.run();
        let (sent, part) = (world.sent(), world.machines[1].agent.order().unwrap().part);
        let report = world.report();
        let row = report.agents.iter().find(|row| row.part == part).unwrap();
        assert!(row.lost.is_some());
        assert_eq!(row.stopped, Some(Stopped::Signal { signal: "SIGTERM".to_owned() }));
        assert!(report.interrupted);
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
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
