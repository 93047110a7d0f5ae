//! A workload by itself: its ways, its clients and its registers.

use super::Meaning;
use crate::lab::diagnostic::{Code, nearest};
use crate::lab::model::WorkloadStart;

impl Meaning<'_> {
    /// Everything that is wrong with the workload which the step at `path` starts.
    pub(super) fn workload(&mut self, start: &WorkloadStart, path: &[&str]) {
        let path = &[path, &["workload", "start"]].concat();
        for (index, way) in start.paths.iter().enumerate() {
            let place = self.value(&[path, &["paths", &index.to_string()][..]].concat());
            if !WorkloadStart::PATHS.contains(&way.as_str()) {
                let help = match nearest(way, WorkloadStart::PATHS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "a way is `proxy`, `direct` or `each`".to_owned(),
                };
                self.error(Code::UnknownValue, format!("`{way}` is no way of a workload"), place).with_help(help);
            } else if start.paths[..index].contains(way) {
                self.error(Code::Twice, format!("the way `{way}` stands here twice"), place)
                    .with_help("for more clients on a way say `clients:`");
            }
        }
        if start.paths.is_empty() {
            let place = self.value(&[path, &["paths"][..]].concat());
            self.error(Code::UnknownValue, "the workload has no way to go by", place)
                .with_help("name at least one of `proxy`, `direct` and `each`");
        }
        self.numbers(start, path);
    }

    fn numbers(&mut self, start: &WorkloadStart, path: &[&str]) {
        if start.clients + start.readers == 0 {
            let place = self.value(&[path, &["clients"]].concat());
            self.error(Code::UnknownValue, "the workload has no clients", place)
                .with_help("say how many write (`clients`) or read (`readers`)");
        }
        if start.readers > 0 && start.registers() == 0 {
            let place = self.value(&[path, &["keys"]].concat());
            self.error(Code::UnknownValue, "there are readers, but no registers to read", place)
                .with_help("`keys` is the number of registers; without it there are 4");
        }
    }
}
