//! The arguments of a binding, in a form that can be compared.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::message::Value;

type Field = (Box<str>, Value);

/// Named values in the order of their names. Two of the same fields in another order are equal; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    fields: Option<Arc<[Field]>>,
}

impl Arguments {
    /// Sorts the fields by name; of a name that repeats the first counts.
    pub fn new(fields: impl IntoIterator<Item = (Box<str>, Value)>) -> Self {
        let mut fields: Vec<_> = fields.into_iter().collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|(later, _), (first, _)| later == first);
        Self { fields: (!fields.is_empty()).then(|| fields.into()) }
    }

    /// The fields in the order of their names.
    pub fn fields(&self) -> &[Field] {
        self.fields.as_deref().unwrap_or_default()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.fields().binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.fields()[at].1)
    }
}

// Total, unlike that of `Value`: a NaN is equal to itself, so that a binding made can be ended.
impl Ord for Arguments {
    fn cmp(&self, other: &Self) -> Ordering {
        let fields = |a: &Field, b: &Field| a.0.cmp(&b.0).then_with(|| order(&a.1, &b.1));
        lists(self.fields(), other.fields(), fields)
    }
}

impl PartialOrd for Arguments {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Arguments {}

fn lists<T>(a: &[T], b: &[T], order: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| order(a, b));
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Recurses as deep as values nest, which is bounded where they enter the core.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::UInt(a), Value::UInt(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => lists(a, b, order),
        (Value::Table(a), Value::Table(b)) => {
            lists(a, b, |a: &(String, Value), b| a.0.cmp(&b.0).then_with(|| order(&a.1, &b.1)))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::UInt(_) => 3,
        Value::Float(_) => 4,
        Value::Text(_) => 5,
        Value::Bytes(_) => 6,
        Value::Timestamp(_) => 7,
        Value::List(_) => 8,
        Value::Table(_) => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_does_not_matter_and_a_nan_is_itself() {
        let fields = |names: [&str; 2]| Arguments::new(names.map(|name| (name.into(), Value::Float(f64::NAN))));
        assert_eq!(fields(["a", "b"]), fields(["b", "a"]));
        assert_ne!(fields(["a", "b"]), fields(["a", "c"]));
    }

    #[test]
    fn the_first_of_two_fields_of_one_name_counts() {
        let arguments = Arguments::new([("a".into(), Value::Int(1)), ("a".into(), Value::Int(2))]);
        assert_eq!(arguments.get("a"), Some(&Value::Int(1)));
        assert_eq!(arguments.fields().len(), 1);
    }
}
