//! What can be measured, in which units, and what no living person has.

use std::fmt;
use std::str::FromStr;

/// Something that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Heart rate; LOINC 8867-4.
    HeartRate,
    /// Respiratory rate; LOINC 9279-1.
    RespiratoryRate,
    /// Oxygen saturation of the blood, by pulse oximetry; LOINC 2708-6, 59408-5.
    OxygenSaturation,
    /// Body temperature; LOINC 8310-5.
    BodyTemperature,
    /// Systolic blood pressure; LOINC 8480-6.
    SystolicBloodPressure,
    /// Diastolic blood pressure; LOINC 8462-4.
    DiastolicBloodPressure,
    /// Glucose, in blood or interstitial fluid; LOINC 2339-0, 99504-3.
    Glucose,
    /// Body weight; LOINC 29463-7.
    BodyWeight,
    /// Body height; LOINC 8302-2.
    BodyHeight,
    /// Steps walked since the reading before; LOINC 55423-8.
    Steps,
}

/// A unit a metric is accepted in: `canonical = value * factor + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit {
    /// UCUM first, then the spellings that devices use.
    spellings: &'static [&'static str],
    factor: f64,
    offset: f64,
}

/// What is fixed about a metric.
struct Definition {
    name: &'static str,
    /// The canonical unit comes first.
    units: &'static [Unit],
    /// The smallest and largest value taken, in the canonical unit, both inclusive. Wider than any alarm limit.
    plausible: (f64, f64),
}

const fn same(spellings: &'static [&'static str]) -> Unit {
    scaled(spellings, 1.0)
}

const fn scaled(spellings: &'static [&'static str], factor: f64) -> Unit {
    Unit { spellings, factor, offset: 0.0 }
}

const PER_MINUTE: &[Unit] = &[same(&["/min", "bpm", "beats/min", "beats/minute", "1/min", "breaths/min"])];
// 1 kPa = 7.50062 mm[Hg].
const PRESSURE: &[Unit] = &[same(&["mm[Hg]", "mmHg"]), scaled(&["kPa"], 7.500_62)];

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 10] = [
        Self::HeartRate,
        Self::RespiratoryRate,
        Self::OxygenSaturation,
        Self::BodyTemperature,
        Self::SystolicBloodPressure,
        Self::DiastolicBloodPressure,
        Self::Glucose,
        Self::BodyWeight,
        Self::BodyHeight,
        Self::Steps,
    ];

    fn definition(self) -> Definition {
        let define = |name, units, plausible| Definition { name, units, plausible };
        match self {
            Self::HeartRate => define("heart_rate", PER_MINUTE, (15.0, 300.0)),
            Self::RespiratoryRate => define("respiratory_rate", PER_MINUTE, (0.0, 80.0)),
            Self::OxygenSaturation => {
                define("oxygen_saturation", const { &[same(&["%"]), scaled(&["1"], 100.0)] }, (50.0, 100.0))
            }
            Self::BodyTemperature => define("body_temperature", TEMPERATURE, (25.0, 45.0)),
            Self::SystolicBloodPressure => define("systolic_blood_pressure", PRESSURE, (30.0, 300.0)),
            Self::DiastolicBloodPressure => define("diastolic_blood_pressure", PRESSURE, (10.0, 200.0)),
            // M(glucose) = 180.156 g/mol, so 1 mmol/L = 18.0156 mg/dL.
            Self::Glucose => define(
                "glucose",
                const { &[same(&["mg/dL", "mg/dl"]), scaled(&["mmol/L", "mmol/l"], 18.015_6)] },
                (10.0, 1000.0),
            ),
            Self::BodyWeight => define("body_weight", WEIGHT, (0.3, 650.0)),
            Self::BodyHeight => define("body_height", HEIGHT, (20.0, 275.0)),
            Self::Steps => {
                define("steps", const { &[same(&["{steps}", "steps", "count"])] }, (0.0, 100_000.0))
            }
        }
    }

    /// The word on the wire, such as `heart_rate`.
    pub fn as_str(self) -> &'static str {
        self.definition().name
    }

    /// The unit every stored value is in, in UCUM.
    pub fn unit(self) -> &'static str {
        self.definition().units[0].spellings[0]
    }

    /// Every spelling of every unit the metric is taken in, the canonical one first.
    pub fn spellings(self) -> impl Iterator<Item = &'static str> {
        self.definition().units.iter().flat_map(|unit| unit.spellings.iter().copied())
    }

    /// The smallest and largest value taken, in the canonical unit, both inclusive.
    pub fn plausible(self) -> (f64, f64) {
        self.definition().plausible
    }

    /// `value` in the canonical unit, and whether it had to be converted; `None` if the unit is unknown. What is converted
    /// has nine decimals at most: 100.4 °F are 38 °C, and not 38.00000000000001.
    pub fn canonical(self, value: f64, unit: &str) -> Option<(f64, bool)> {
        let units = self.definition().units;
        let index = units.iter().position(|known| known.spellings.contains(&unit))?;
        let Unit { factor, offset, .. } = units[index];
        let converted = || ((value * factor + offset) * 1e9).round() / 1e9;
        Some(if index == 0 { (value, false) } else { (converted(), true) })
    }
}

const TEMPERATURE: &[Unit] = &[
    same(&["Cel", "°C", "C"]),
    Unit { spellings: &["[degF]", "°F", "F"], factor: 5.0 / 9.0, offset: -160.0 / 9.0 },
];
const WEIGHT: &[Unit] =
    &[same(&["kg"]), scaled(&["g"], 0.001), scaled(&["[lb_av]", "lb", "lbs"], 0.453_592_37)];
const HEIGHT: &[Unit] = &[same(&["cm"]), scaled(&["m"], 100.0), scaled(&["[in_i]", "in"], 2.54)];

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word names no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such metric: use one of heart_rate, respiratory_rate, oxygen_saturation, body_temperature, \
         systolic_blood_pressure, diastolic_blood_pressure, glucose, body_weight, body_height, steps"
)]
pub struct UnknownMetric;

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == text).ok_or(UnknownMetric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(metric: Metric, value: f64, unit: &str) -> f64 {
        metric.canonical(value, unit).expect("known unit").0
    }

    #[test]
    fn conversions_match_the_standard_factors() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        near(convert(Metric::Glucose, 5.5, "mmol/L"), 99.0858);
        near(convert(Metric::BodyTemperature, 98.6, "[degF]"), 37.0);
        near(convert(Metric::BodyWeight, 150.0, "lb"), 68.038_855_5);
        near(convert(Metric::BodyHeight, 70.0, "[in_i]"), 177.8);
        near(convert(Metric::SystolicBloodPressure, 16.0, "kPa"), 120.009_92);
        near(convert(Metric::OxygenSaturation, 0.97, "1"), 97.0);
    }

    /// A rule that asks for less than 57, or for more than 38, must not be answered by the last bit of a product.
    #[test]
    fn what_is_whole_in_both_units_stays_whole() {
        let celsius = |value| convert(Metric::BodyTemperature, value, "F").to_string();
        assert_eq!([100.4, 102.2, 104.0].map(celsius), ["38", "39", "40"]);
        for percent in 50..=100_u8 {
            let fraction = f64::from(percent) / 100.0;
            let converted = convert(Metric::OxygenSaturation, fraction, "1");
            assert!((converted - f64::from(percent)).abs() <= 0.0, "{fraction} became {converted}");
        }
        assert_eq!(convert(Metric::BodyWeight, 344.0, "g").to_string(), "0.344");
    }

    #[test]
    fn the_canonical_unit_is_not_a_conversion() {
        for metric in Metric::ALL {
            assert_eq!(metric.canonical(7.0, metric.unit()), Some((7.0, false)));
            assert_eq!(metric.as_str().parse(), Ok(metric));
        }
        assert_eq!(Metric::Glucose.canonical(7.0, "furlongs"), None);
    }
}
