//! Names of nodes as PostgreSQL compares them in `synchronous_standby_names`: without regard to case.

/// A set of names, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|other| other.eq_ignore_ascii_case(name))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// How many of these names are not in `other`.
    pub(super) fn outside(&self, other: &Names) -> usize {
        self.0.iter().filter(|name| !other.contains(name)).count()
    }

    /// How many names are in one of the two.
    pub(super) fn with(&self, other: &Names) -> usize {
        self.len() + other.outside(self)
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

impl<S: Into<String>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Names {
        let mut set = Names::default();
        for name in names.into_iter().map(Into::into) {
            if !set.contains(&name) {
                set.0.push(name);
            }
        }
        set.0.sort();
        set
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        self.outside(other) == 0 && other.outside(self) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_count() {
        let names: Names = ["pg2", "PG1", "pg1"].into_iter().collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["PG1", "pg2"]);
        assert_eq!(names, ["Pg2", "pg1"].into_iter().collect());
        assert_ne!(names, ["pg2"].into_iter().collect());
        let other = ["pg3", "pG2"].into_iter().collect();
        assert_eq!((names.outside(&other), names.with(&other)), (1, 3));
    }
}
