//! The normal distribution, for tests of samples.

/// The standard normal distribution function, by Simpson's rule.
pub(crate) fn normal(z: f64) -> f64 {
    let steps = 200;
    let width = z / f64::from(steps);
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |step: i32| {
        if step == 0 || step == steps {
            1.0
        } else if step % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    let sum: f64 = (0..=steps).map(|step| weight(step) * density(f64::from(step) * width)).sum();
    0.5 + sum * width / 3.0
}
