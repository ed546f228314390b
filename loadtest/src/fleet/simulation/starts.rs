//! Until the start: agents that come and go, and a start that all have or none.

use super::*;

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
fn a_signal_to_the_coordinator_before_the_start_ends_the_run_at_once_and_no_agent_is_lost() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        let start = until_decided(&mut world);
        // Before any agent knows the start, while some do, and when all do.
        let signalled = world.now + Duration::from_millis([0, 5, 30, 60, 100, 2_000][seed as usize]);
        world.signalled = Some(signalled);
        world.run();
        let took = world.now - signalled;
        // Agents wait until the coordinator has reported.
        assert!(took < Duration::from_secs(1) + world.writes_after, "{took:?}: {:?}", world.events);
        assert!(!world.events.iter().any(|event| event.ends_with("lost")), "{:?}", world.events);
        assert_eq!(world.sent(), 0);
        // Agents don't say that a report is awaited.
        assert!(world.machines.iter().all(|machine| !machine.agent.is_handed_in()));
        // One that comes too late finds out why.
        let hello =
            Hello { protocol: PROTOCOL, version: VERSION.to_owned(), name: "late".to_owned(), nonce: 99 };
        let hint = world.coordinator.register(world.now, &hello).unwrap_err().hint;
        let is_unstarted = matches!(world.coordinator.ending(), Some(Ending::Unstarted(_)));
        let right = if is_unstarted { "did not start, and is over" } else { "is over" };
        assert_eq!(hint, format!("the run of this coordinator {right}"));
        if !is_unstarted {
            let report = report_of(world.gathered, start, plan(0, 3)).unwrap();
            assert_eq!(report.delivered.unwrap().at_most, Some(0));
        }
    });
}

/// A run of which an agent receives a signal so long after the decision, or before it.
fn signed_off(seed: u64, stops_on_loss: bool, millis: i64) {
    // Where an answer is lost, the coordinator does not know who has the start.
    let loss = if stops_on_loss { seed % 2 * 5 } else { 0 };
    let patience = Duration::from_secs(if loss == 0 { 1 } else { 4 });
    let decided = {
        let mut world = World::new(seed, 3, loss, stops_on_loss);
        until_decided(&mut world);
        world.now
    };
    let mut world = World::new(seed, 3, loss, stops_on_loss);
    let signalled = shifted(decided, millis * 1_000_000);
    world.machines[seed as usize % 3].signalled = Some(signalled);
    world.run();
    let (took, sent) = (world.now - signalled, world.sent());
    let case = format!("{millis} ms, {stops_on_loss}: {took:?}, {sent} sent, {:?}", world.events);
    assert!(!world.events.iter().any(|event| event.ends_with("lost")), "{case}");
    match world.coordinator.ending().unwrap() {
        Ending::Unstarted(Unstarted::Missing(_)) => assert!(sent == 0 && millis < 100, "{case}"),
        Ending::Unstarted(_) => {
            assert!(stops_on_loss && sent == 0 && took < patience, "{case}");
        }
        Ending::Complete { .. } => {
            // The run of the others, if they go on; agents wait until the coordinator has reported.
            let run = world.start.unwrap().saturating_sub(signalled) + LENGTH;
            let run = if stops_on_loss { Duration::ZERO } else { run };
            assert!(took < run + patience * 2 + world.writes_after, "{case}");
            let delivered = world.report().delivered.unwrap();
            let most = delivered.at_most.unwrap();
            assert!((delivered.at_least..=most).contains(&sent), "{delivered:?}: {case}");
            assert_eq!(delivered.at_least, most, "{case}");
        }
    }
}

#[test]
fn an_agent_that_signs_off_around_decision_confirmation_and_start_makes_no_other_one_lost() {
    for_seeds(|seed| {
        // Each seed has offsets of its own.
        let offsets = [-150..300, 1_950..2_300, 2_850..3_100, 4_850..5_100].into_iter().flatten();
        for millis in offsets.skip(seed as usize * 7).step_by(45) {
            signed_off(seed, true, millis);
        }
        for millis in (-150..300).chain(2_850..3_100).skip(seed as usize * 20).step_by(120) {
            signed_off(seed, false, millis);
        }
    });
}

#[test]
fn an_agent_that_is_stopped_before_the_lost_answer_with_the_start_came_again_signs_off() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, true);
        until_decided(&mut world);
        let has_start =
            |answer: &Result<Answer, Refusal>| answer.as_ref().is_ok_and(|answer| answer.start_ns.is_some());
        while !matches!(&world.machines[1].travelling, Some((_, Travelling::Answer(answer, _))) if has_start(answer))
        {
            world.step();
        }
        world.machines[1].travelling = None;
        let signalled = world.now;
        world.machines[0].signalled = Some(signalled);
        world.run();
        let took = world.now - signalled;
        assert!(took < Duration::from_secs(4) + world.writes_after, "{took:?}: {:?}", world.events);
        assert!(!world.events.iter().any(|event| event.ends_with("lost")), "{:?}", world.events);
        assert_eq!(world.sent(), 0);
        assert_eq!(world.report().delivered.unwrap().at_most, Some(0));
    });
}
