//! Everything that a run tells and leaves is what the committed schemas say.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::tests::{reference, verify_told};
use crate::verify::world::pretended::{Pretended, Quirk};
use crate::verify::{Cancel, Consumer, Stamped, schema};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Value>>>);

impl Consumer for Heard {
    fn hear(&mut self, event: &Stamped) -> io::Result<()> {
        self.0.lock().unwrap().push(serde_json::to_value(event)?);
        Ok(())
    }
}

/// What is wrong with `value` by `schema`.
fn faults(schema: Value, value: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", schema).unwrap();
    let compiled = compiler.compile("schema.json", &mut schemas).unwrap();
    schemas.validate(value, compiled).err().map(|error| format!("{error:#}"))
}

#[tokio::test(start_paused = true)]
async fn every_event_and_the_run_are_what_the_schemas_say() {
    for quirks in [&[][..], &[Quirk::LosesWrites], &[Quirk::StandbyDown]] {
        let (loaded, folder, heard) = (reference(), tempfile::tempdir().unwrap(), Heard::default());
        let world = Pretended::new(&loaded, folder.path(), quirks);
        let run = verify_told(&world, &loaded, None, Cancel::never(), vec![Box::new(heard.clone())]).await;
        let events = heard.0.lock().unwrap().clone();
        assert!(events.len() > 50);
        for event in &events {
            assert_eq!(faults(schema::event(), event), None, "{event:#}");
        }
        assert_eq!(faults(schema::run(), &serde_json::to_value(&run).unwrap()), None);
    }
}

#[test]
fn a_line_that_is_no_event_is_refused() {
    let event =
        serde_json::json!({"seq": 1, "at_ms": 2, "event": "run_finished", "verdict": "passed", "points": [1, 2]});
    assert!(faults(schema::event(), &event).is_some());
}
