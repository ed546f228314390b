//! The reports of a coordinator with lost agents, and the files of these agents.

use super::*;
use crate::report::{json, merge};

/// As another program reads it.
fn as_read(report: &Report) -> Report {
    json::parse(&json::render(report).unwrap()).unwrap()
}

fn as_json(report: &Report) -> serde_json::Value {
    serde_json::to_value(report).unwrap()
}

#[test]
fn with_the_files_of_lost_agents_the_report_is_the_merge_of_all_files() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 4, seed, false);
        let cut = 1 + seed % 3;
        for index in 0..cut {
            // From the first seconds on until after the end.
            let from = DAWN + Duration::from_millis(world.random.rand_range(8_000..36_000));
            world.machines[index as usize].cut = Some((from, Duration::MAX));
        }
        world.run();
        assert!(world.is_complete(), "{:?}", world.events);
        let files = world.machines.iter().map(|machine| as_read(&machine.agent.report_of_part().unwrap()));
        let files: Vec<Report> = files.collect();
        let sent = world.sent();
        let turns = world.random.rand_range(0..4) as usize;
        let is_at_once = world.random.rand_range(0..2) == 0;
        let whole = as_read(&world.report());
        let names: Vec<u64> =
            whole.agents.iter().filter(|row| row.lost.is_some()).map(|row| row.part).collect();
        assert!(names.len() as u64 <= cut);
        let is_lost = |report: &&Report| names.contains(&report.parts[0].index);
        let mut lost: Vec<Report> = files.iter().filter(is_lost).cloned().collect();
        let turns = turns.checked_rem(lost.len()).unwrap_or(0);
        lost.rotate_left(turns);
        let replaced = if is_at_once {
            lost.push(whole);
            merge::merge(lost).unwrap()
        } else {
            lost.into_iter().fold(whole, |whole, file| as_read(&merge::merge(vec![whole, file]).unwrap()))
        };
        let expected = merge::merge(files).unwrap();
        assert_eq!(as_json(&replaced), as_json(&expected));
        assert_eq!(replaced.accounting.measured.accepted, sent);
        let delivered = replaced.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
    });
}
