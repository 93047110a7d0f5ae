//! A cluster is left as it was found: what ran before runs again, and labrun's own tables are gone.

use std::collections::BTreeMap;

use crate::deploy::{Deployment, NodeStatus};
use crate::lab::model::Text;
use crate::observe::observer::QUESTION_LIMIT;
use crate::observe::{Observer, Sql};

/// labrun's tables, and no others, begin with this.
const OWN: &str = "labrun\\_%";

/// What every node was doing before labrun did anything.
#[derive(Debug, Clone, Default)]
pub struct Before(BTreeMap<String, bool>);

/// Remember it.
pub async fn before(deployment: &Deployment) -> Before {
    let backend = deployment.backend();
    let mut ran = BTreeMap::new();
    for node in &deployment.nodes {
        let runs = matches!(backend.status(deployment, &node.name).await, Ok(NodeStatus::Running { .. }));
        ran.insert(node.name.clone(), runs);
    }
    Before(ran)
}

impl Before {
    /// Make it so again; says what had to be done, and what could not.
    pub async fn restore(&self, deployment: &Deployment) -> Vec<Text> {
        let backend = deployment.backend();
        let mut said = Vec::new();
        for node in self.0.iter().filter(|(_, ran)| **ran).map(|(name, _)| name) {
            let undone = match backend.status(deployment, node).await {
                Ok(NodeStatus::Running { .. } | NodeStatus::Failing { .. }) | Err(_) => continue,
                Ok(NodeStatus::Frozen) => backend.thaw(deployment, node).await,
                Ok(NodeStatus::Stopped) => backend.start(deployment, node).await,
            };
            said.push(match undone {
                Ok(()) => {
                    both(format!("{node} снова работает, как до проверки"), format!("{node} runs again, as before"))
                }
                Err(error) => {
                    both(format!("{node} не запущен снова: {error}"), format!("{node} is not started again: {error}"))
                }
            });
        }
        said.extend(tables(deployment).await);
        said
    }
}

/// Drops what the checks have made. Where there is no leader now, they stay, and that is said.
async fn tables(deployment: &Deployment) -> Option<Text> {
    let stay = |ru: &str, en: &str| {
        both(
            format!("таблицы labrun_* остались в базе: {ru}"),
            format!("the tables labrun_* are left in the database: {en}"),
        )
    };
    let leader = Observer::new(deployment).look().await.leader;
    let Some(leader) = leader.as_deref().and_then(|leader| deployment.node(leader)) else {
        return Some(stay("лидера нет", "there is no leader"));
    };
    let sql = match Sql::connect(leader.main, deployment.credentials(), QUESTION_LIMIT).await {
        Ok(sql) => sql,
        Err(error) => return Some(stay(&error.to_string(), &error.to_string())),
    };
    let drop = format!(
        "SET lock_timeout = '2s'; DO $$ DECLARE t record; BEGIN FOR t IN SELECT schemaname, tablename FROM pg_tables \
         WHERE tablename LIKE '{OWN}' LOOP EXECUTE format('DROP TABLE %I.%I', t.schemaname, t.tablename); END LOOP; END $$"
    );
    sql.run(&drop).await.err().map(|error| stay(&error.to_string(), &error.to_string()))
}

fn both(ru: String, en: String) -> Text {
    Text::Each { ru, en }
}
