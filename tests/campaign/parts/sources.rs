//! What the database and the other plugin hold, and whether they can say it: in the oracle's own words, written down as it
//! is done to them.

use std::{collections::BTreeMap, rc::Rc};

use super::{Asked, MAX_ROWS, Part};
use crate::hub::At;

/// An item as it is answered.
pub(crate) type Row = BTreeMap<String, String>;

/// A list of them.
pub(crate) type Rows = Rc<Vec<Row>>;

/// What a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// This, for sure.
    List(Rows),
    /// This, or nothing.
    Perhaps(Rows),
    /// For sure nothing.
    Silent,
}

/// Whether a source can say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Well, but that may not have been noticed before.
    Well {
        from: At,
    },
    /// It may get through.
    Shaky,
    Silent,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) status: &'static str,
    pub(crate) region: &'static str,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) tenants: BTreeMap<String, Tenant>,
    /// By team: names and roles.
    pub(crate) members: BTreeMap<&'static str, Vec<(String, &'static str)>>,
    /// By team: tiers and quotas.
    pub(crate) tiers: BTreeMap<&'static str, Vec<(&'static str, u32)>>,
    pub(crate) database: Condition,
    pub(crate) service: Condition,
}

fn row<const N: usize>(values: [(&str, &str); N]) -> Row {
    values.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

impl Sources {
    pub(crate) fn new() -> Self {
        let well = Condition::Well { from: At::ZERO };
        let (tenants, members, tiers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { tenants, members, tiers, database: well, service: well }
    }

    /// What a part says to a question now.
    pub(crate) fn say(&self, part: Part, asked: &Asked, now: At) -> Said {
        let rows = self.rows(part, asked);
        let condition = match part {
            Part::Tenants | Part::TenantsOfRegion => self.database,
            Part::Members | Part::Tiers => self.service,
        };
        match condition {
            _ if matches!(part, Part::Tenants | Part::TenantsOfRegion) && rows.len() > MAX_ROWS => Said::Silent,
            Condition::Silent => Said::Silent,
            Condition::Well { from } if from <= now => Said::List(Rc::new(rows)),
            Condition::Well { .. } | Condition::Shaky => Said::Perhaps(Rc::new(rows)),
        }
    }

    fn rows(&self, part: Part, asked: &Asked) -> Vec<Row> {
        let input = |name: &str| asked.inputs.get(name).copied();
        match part {
            Part::Tenants => {
                let wanted =
                    self.tenants.iter().filter(|(_, tenant)| input("status").is_none_or(|is| is == tenant.status));
                wanted.map(|(name, tenant)| row([("tenant", name), ("status", tenant.status)])).collect()
            }
            Part::TenantsOfRegion => {
                let wanted = self.tenants.iter().filter(|(_, tenant)| input("region") == Some(tenant.region));
                wanted
                    .map(|(name, tenant)| row([("tenant", name), ("status", tenant.status), ("region", tenant.region)]))
                    .collect()
            }
            Part::Members => {
                let members = input("team").and_then(|team| self.members.get(team)).into_iter().flatten();
                members.map(|(name, role)| row([("member", name), ("role", role)])).collect()
            }
            Part::Tiers => {
                let tiers = input("team").and_then(|team| self.tiers.get(team)).into_iter().flatten();
                tiers.map(|(tier, quota)| row([("tier", tier), ("quota", &quota.to_string())])).collect()
            }
        }
    }
}
