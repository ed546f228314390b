//! The arrivals of an open loop: when messages are due, fixed before the run. Pure.
//!
//! A [`Profile`] is the rate over time; a [`Schedule`] walks it, arrival by arrival, from a seed. The same profile,
//! kind and seed give the same schedule for any number of threads.

use std::time::Duration;

use oorandom::Rand64;

/// The highest rate of a part, in messages per second: one per microsecond.
pub(crate) const RATE_LIMIT: f64 = 1_000_000.0;

/// A period in which the rate changes linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Segment {
    /// Messages per second at the beginning.
    pub(crate) from: f64,
    /// Messages per second at the end.
    pub(crate) to: f64,
    pub(crate) over: Duration,
}

impl Segment {
    /// Arrivals in the whole segment.
    fn arrivals(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.over.as_secs_f64()
    }

    /// Seconds into the segment at which `due` arrivals have come; solves
    /// `from * t + slope / 2 * t^2 = due` in the form that is stable for small slopes.
    fn time_of(&self, due: f64) -> f64 {
        let slope = (self.to - self.from) / self.over.as_secs_f64();
        let root = (self.from * self.from + 2.0 * slope * due).max(0.0).sqrt();
        if self.from + root > 0.0 { 2.0 * due / (self.from + root) } else { 0.0 }
    }
}

/// The rate over time: segments in order, then the last rate for ever.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) segments: Vec<Segment>,
    /// Messages per second after the last segment.
    pub(crate) then: f64,
}

impl Profile {
    /// A constant rate.
    pub(crate) fn constant(rate: f64) -> Profile {
        Profile { segments: Vec::new(), then: rate }
    }

    /// The highest rate of all.
    pub(crate) fn highest(&self) -> f64 {
        self.segments.iter().flat_map(|segment| [segment.from, segment.to]).fold(self.then, f64::max)
    }

    /// The length of all segments.
    pub(crate) fn length(&self) -> Duration {
        self.segments.iter().map(|segment| segment.over).sum()
    }
}

/// Steps in the report for a segment whose rate changes.
const RAMP_PARTS: u32 = 10;

/// The most steps in the report; beyond it, neighbours are merged.
const STEPS_REPORTED: usize = 100;

/// A part of a profile with its own row in the report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Since the start of the run.
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// Messages per second at its beginning and end.
    pub(crate) rate_from: f64,
    pub(crate) rate_to: f64,
}

impl Profile {
    /// The steps until `end`, without gaps; none for a constant rate.
    pub(crate) fn steps(&self, end: Duration) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut begins = Duration::ZERO;
        for segment in &self.segments {
            let parts = if segment.from == segment.to { 1 } else { RAMP_PARTS };
            let rate =
                |part: u32| segment.from + (segment.to - segment.from) * f64::from(part) / f64::from(parts);
            steps.extend((0..parts).map(|part| Step {
                from: begins + segment.over * part / parts,
                until: begins + segment.over * (part + 1) / parts,
                rate_from: rate(part),
                rate_to: rate(part + 1),
            }));
            begins += segment.over;
        }
        if !steps.is_empty() {
            steps.push(Step { from: begins, until: end, rate_from: self.then, rate_to: self.then });
        }
        steps.retain(|step| step.from < end);
        if let Some(last) = steps.last_mut() {
            last.until = last.until.min(end);
        }
        debug_assert!(steps.windows(2).all(|pair| pair[0].until == pair[1].from), "{steps:?}");
        let together = steps.len().div_ceil(STEPS_REPORTED).max(1);
        steps
            .chunks(together)
            .filter_map(|chunk| {
                let (first, last) = (chunk.first()?, chunk.last()?);
                Some(Step { until: last.until, rate_to: last.rate_to, ..*first })
            })
            .collect()
    }
}

/// Tolerance of sums of floating point numbers, as a share.
const ROUNDING: f64 = 1e-9;

/// The distribution of arrivals around the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Evenly spaced.
    Constant,
    /// Independently of each other, as a Poisson process.
    Poisson,
}

/// The arrivals of a run, in order, until the duration or the count.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    profile: Profile,
    arrivals: Arrivals,
    random: Rand64,
    /// Arrivals until and including the next one, if the rate were followed exactly.
    due: f64,
    /// The current segment, when it begins (seconds), and the arrivals before it.
    segment: usize,
    begins: f64,
    before: f64,
    end: Option<Duration>,
    /// Arrivals left of the count.
    left: u64,
    /// Whether the next arrival would be after the end.
    is_over: bool,
}

impl Schedule {
    pub(crate) fn new(
        profile: Profile,
        arrivals: Arrivals,
        seed: u64,
        end: Option<Duration>,
        count: Option<u64>,
    ) -> Schedule {
        let mut schedule = Schedule {
            profile,
            arrivals,
            random: Rand64::new(u128::from(seed)),
            due: 0.0,
            segment: 0,
            begins: 0.0,
            before: 0.0,
            end,
            left: count.unwrap_or(u64::MAX),
            is_over: false,
        };
        if arrivals == Arrivals::Poisson {
            schedule.due = schedule.gap();
        }
        schedule
    }

    /// Whether every arrival of the count was passed.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0 && !self.is_over
    }

    /// The intended start of the arrival behind `others` that are passed over, from the start of the run. Only the
    /// gaps of the others are drawn.
    pub(crate) fn after(&mut self, others: u64) -> Option<Duration> {
        if self.left == 0 || self.is_over {
            return None;
        }
        if others < self.left {
            self.pass(others);
            return self.next();
        }
        // Whether the end comes before the last arrival of the count decides how the run ends.
        self.pass(self.left - 1);
        self.next();
        None
    }

    fn pass(&mut self, others: u64) {
        match self.arrivals {
            // Whole numbers, so that the sum is exact.
            Arrivals::Constant => self.due += others as f64,
            Arrivals::Poisson => (0..others).for_each(|_| self.due += self.gap()),
        }
        self.left -= others;
    }

    /// The distance to the next arrival, in units of the current rate.
    fn gap(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Constant => 1.0,
            // 1 - u is in (0, 1], so the logarithm is finite.
            Arrivals::Poisson => -(1.0 - self.random.rand_float()).ln(),
        }
    }

    fn time_of_due(&mut self) -> f64 {
        debug_assert!(self.due >= self.before * (1.0 - ROUNDING), "arrivals are walked in order");
        while let Some(segment) = self.profile.segments.get(self.segment) {
            let arrivals = segment.arrivals();
            if self.due - self.before < arrivals {
                return self.begins + segment.time_of(self.due - self.before);
            }
            self.before += arrivals;
            self.begins += segment.over.as_secs_f64();
            self.segment += 1;
        }
        self.begins + (self.due - self.before) / self.profile.then
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    /// The intended start of the next message, from the start of the run.
    fn next(&mut self) -> Option<Duration> {
        if self.left == 0 || self.is_over {
            return None;
        }
        let time = Duration::try_from_secs_f64(self.time_of_due()).ok()?;
        if self.end.is_some_and(|end| time >= end) {
            self.is_over = true;
            return None;
        }
        debug_assert!(
            time.as_secs_f64() >= self.begins * (1.0 - ROUNDING),
            "no arrival is before its segment"
        );
        self.left -= 1;
        let gap = self.gap();
        debug_assert!(gap >= 0.0 && gap.is_finite(), "{gap}");
        self.due += gap;
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ramp(from: f64, to: f64, over: u64) -> Profile {
        Profile { segments: vec![Segment { from, to, over: seconds(over) }], then: to }
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced_and_exact_in_number() {
        let all: Vec<_> =
            Schedule::new(Profile::constant(1000.0), Arrivals::Constant, 1, Some(seconds(10)), None)
                .collect();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all[0], Duration::ZERO);
        assert_eq!(all[1234], Duration::from_millis(1234));
    }

    #[test]
    fn a_ramp_holds_the_area_under_the_rate() {
        let all: Vec<_> =
            Schedule::new(ramp(100.0, 5000.0, 60), Arrivals::Constant, 1, Some(seconds(60)), None).collect();
        assert!(all.len().abs_diff(2550 * 60) <= 1, "{}", all.len());
        let half = all.iter().filter(|at| **at < seconds(30)).count();
        // The rate at half time is 2550/s, the mean before it 1325/s.
        assert!(half.abs_diff(1325 * 30) <= 1, "{half}");
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let profile = Profile::constant(2000.0);
        let all: Vec<_> = Schedule::new(profile, Arrivals::Poisson, 7, Some(seconds(50)), None).collect();
        // Mean 100,000, standard deviation 316: five of them on either side.
        assert!(all.len().abs_diff(100_000) < 1_600, "{}", all.len());
        let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.97..1.03).contains(&variation), "exponential gaps vary by 1, not {variation}");
    }

    #[test]
    fn the_seed_decides_the_schedule() {
        let with = |seed| -> Vec<_> {
            Schedule::new(ramp(10.0, 90.0, 5), Arrivals::Poisson, seed, None, Some(500)).collect()
        };
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
        assert_eq!(with(1).len(), 500);
    }

    fn edges(steps: &[Step]) -> Vec<(f64, f64, f64, f64)> {
        let edge =
            |step: &Step| (step.from.as_secs_f64(), step.until.as_secs_f64(), step.rate_from, step.rate_to);
        steps.iter().map(edge).collect()
    }

    #[test]
    fn steps_are_as_they_were_given_and_a_ramp_has_ten() {
        let hold = |rate, over| Segment { from: rate, to: rate, over: seconds(over) };
        let stairs = Profile { segments: vec![hold(100.0, 2), hold(500.0, 3)], then: 500.0 };
        assert_eq!(edges(&stairs.steps(seconds(5))), [(0.0, 2.0, 100.0, 100.0), (2.0, 5.0, 500.0, 500.0)]);
        assert_eq!(edges(&stairs.steps(seconds(7)))[2], (5.0, 7.0, 500.0, 500.0));
        assert_eq!(edges(&stairs.steps(seconds(1))), [(0.0, 1.0, 100.0, 100.0)]);
        let ramp = ramp(100.0, 1100.0, 20).steps(seconds(20));
        assert_eq!((ramp.len(), edges(&ramp)[3]), (10, (6.0, 8.0, 400.0, 500.0)));
        assert!(Profile::constant(5.0).steps(seconds(5)).is_empty());
    }

    #[test]
    fn of_very_many_steps_neighbours_are_taken_together() {
        let hold = |rate: u32| Segment { from: f64::from(rate), to: f64::from(rate), over: seconds(1) };
        let profile = Profile { segments: (1..=250).map(hold).collect(), then: 250.0 };
        let steps = profile.steps(seconds(250));
        assert_eq!(steps.len(), 84);
        assert_eq!(edges(&steps)[1], (3.0, 6.0, 4.0, 6.0));
        assert_eq!(steps.last().map(|step| step.until), Some(seconds(250)));
        assert!(steps.windows(2).all(|pair| pair[0].until == pair[1].from));
    }

    #[test]
    fn a_count_is_used_up_and_a_duration_is_over() {
        let ends = |end, count| {
            let mut schedule = Schedule::new(Profile::constant(10.0), Arrivals::Constant, 1, end, count);
            (schedule.by_ref().count(), schedule.is_used_up())
        };
        assert_eq!(ends(Some(seconds(1)), Some(100)), (10, false));
        assert_eq!(ends(Some(seconds(1)), Some(7)), (7, true));
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_and_follow_the_profile(
            rates in prop::collection::vec((0u32..2000, 0u32..2000, 1u64..5), 1..5),
            then in 1u32..2000,
            poisson: bool,
            seed: u64,
        ) {
            let segments: Vec<_> = rates.iter().map(|(from, to, over)| Segment {
                from: f64::from(*from), to: f64::from(*to), over: seconds(*over),
            }).collect();
            let profile = Profile { segments: segments.clone(), then: f64::from(then) };
            let length = profile.length();
            let kind = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
            let all: Vec<_> = Schedule::new(profile, kind, seed, Some(length), Some(50_000)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(all.iter().all(|at| *at < length));
            // The oracle: the trapezoids' area.
            let area: f64 = segments.iter().map(|s| (s.from + s.to) / 2.0 * s.over.as_secs_f64()).sum();
            if !poisson {
                prop_assert!((all.len() as f64 - area).abs() <= 1.0 + 1e-6 * area, "{} {area}", all.len());
            }
        }
    }
}
