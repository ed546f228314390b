//! Whether each step of a changing rate passed the gates.

use crate::judge::gate::Gate;
use crate::report::steps::StepRow;

/// Percentage of the due messages that may be pending at the end of a step, where no gate applies to steps. One in
/// flight per session is allowed in any case.
const LEFT_PERCENT: f64 = 5.0;

/// Judges every step that can be judged by the gates that apply to steps; without such a gate, by whether the target kept up
/// over this number of connections.
pub(crate) fn judge(steps: &mut [StepRow], gates: &[Gate], connections: usize) {
    for step in steps {
        let verdicts: Vec<bool> = gates.iter().filter_map(|gate| gate.is_passed_by(step)).collect();
        step.passed = match verdicts.is_empty() {
            true => is_well(step, connections),
            false => verdicts.iter().all(|passed| *passed),
        } && step.not_judged.is_none();
    }
}

/// Whether nothing failed, and no more messages were pending than may be in flight.
fn is_well(step: &StepRow, connections: usize) -> bool {
    let due = step.accounting.owed();
    let left = due.saturating_sub(step.accepted_meanwhile) as f64;
    step.accounting.errors() == 0 && left <= (due as f64 * LEFT_PERCENT / 100.0).max(connections as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::steps::knee;
    use crate::report::steps::tests::step;

    fn judged(mut steps: Vec<StepRow>, gates: &[&str]) -> (Vec<bool>, Option<f64>) {
        let gates: Vec<Gate> = gates.iter().map(|gate| Gate::fail_if(gate).unwrap()).collect();
        judge(&mut steps, &gates, 4);
        (steps.iter().map(|step| step.passed).collect(), knee(&steps).map(StepRow::rate))
    }

    #[test]
    fn without_a_gate_the_target_is_to_keep_up_without_errors() {
        let steps = vec![step(0, 10, 6, 0), step(1, 200, 191, 0), step(2, 400, 300, 0), step(3, 10, 5, 0)];
        assert_eq!(judged(steps, &[]), (vec![true, true, false, false], Some(200.0)));
        assert_eq!(judged(vec![step(0, 100, 100, 1)], &[]), (vec![false], None));
        // Gates of a whole run do not apply to a step.
        assert_eq!(judged(vec![step(0, 100, 0, 0)], &["rate < 5", "p99(dot) > 1ns"]).0, [false]);
    }

    #[test]
    fn the_knee_is_below_the_first_rate_that_did_not_keep_a_gate() {
        let steps = vec![
            step(0, 100, 100, 0),
            step(1, 200, 100, 1),
            step(2, 300, 300, 30),
            step(3, 400, 400, 0),
            step(4, 100, 100, 50),
        ];
        assert_eq!(
            judged(steps.clone(), &["errors > 1%"]),
            (vec![true, true, false, true, false], Some(200.0))
        );
        assert_eq!(judged(steps.clone(), &["errors > 0"]).1, Some(100.0));
        assert_eq!(judged(steps.clone(), &["errors > 50%"]).1, Some(400.0));
        let down: Vec<StepRow> = steps.iter().rev().cloned().collect();
        assert_eq!(judged(down, &["errors > 10%"]).1, None, "the lowest did not");
        assert_eq!(judged(vec![step(0, 300, 0, 9), step(1, 100, 0, 0)], &["errors > 0"]).1, Some(100.0));
        assert_eq!(judged(steps, &["p99(message) > 5ms"]).1, None, "no sample never passes");
    }
}
