//! Objects, their versions, what happened to them, and who watches.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{Cluster, selector::Selector, stream::Writer};

/// What kinds of objects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    Secret,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Secret => "Secret",
        }
    }

    pub(super) fn of(resource: &str) -> Option<Self> {
        match resource {
            "services" => Some(Self::Service),
            "secrets" => Some(Self::Secret),
            _ => None,
        }
    }
}

/// What a Role grants in its namespace.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) namespace: String,
    pub(super) resource: String,
    pub(super) verbs: Vec<String>,
    /// The objects, by name; all where there are none.
    pub(super) names: Vec<String>,
}

impl Rule {
    /// Verbs for all objects of a resource.
    pub fn new(namespace: &str, resource: &str, verbs: &[&str]) -> Self {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        Self { namespace: namespace.to_owned(), resource: resource.to_owned(), verbs, names: Vec::new() }
    }

    /// The same for one object only.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }
}

/// How one who watches from a version that is gone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneAs {
    /// By the status of the answer.
    Status,
    /// By an event in a 200.
    Event,
}

/// What happened to an object.
struct Change {
    version: u64,
    before: Option<Value>,
    after: Option<Value>,
}

/// One who watches Services.
pub(super) struct Watcher {
    pub(super) writer: Writer,
    pub(super) namespace: String,
    pub(super) selector: Selector,
    pub(super) bookmarks: bool,
}

pub(crate) struct State {
    pub(super) rules: Vec<Rule>,
    pub(super) token: String,
    pub(super) watchers: Vec<Watcher>,
    pub(super) seen: Vec<String>,
    pub(super) gone: GoneAs,
    pub(super) failing: Option<u16>,
    pub(super) hanging: bool,
    pub(super) version: u64,
    /// The oldest version from which on all is known.
    compacted: u64,
    objects: BTreeMap<(Kind, String, String), Value>,
    changes: Vec<Change>,
    /// What is left of lists that were given in part, by their version.
    pages: HashMap<u64, Vec<Value>>,
}

impl State {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            token: Cluster::TOKEN.to_owned(),
            watchers: Vec::new(),
            seen: Vec::new(),
            gone: GoneAs::Event,
            failing: None,
            hanging: false,
            version: 1000,
            compacted: 1000,
            objects: BTreeMap::new(),
            changes: Vec::new(),
            pages: HashMap::new(),
        }
    }

    /// How many watches are read.
    pub(super) fn open(&self) -> usize {
        self.watchers.iter().filter(|watcher| watcher.writer.is_read()).count()
    }

    pub(super) fn apply(&mut self, kind: Kind, mut object: Value) {
        let text = |value: &Value| value.as_str().expect("an object has a namespace and a name").to_owned();
        let key = (kind, text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        // Other objects have versions too.
        self.version += 7;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let before = self.objects.insert(key, object.clone());
        if kind == Kind::Service {
            self.changed(before, Some(object));
        }
    }

    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        let Some(before) = self.objects.remove(&(kind, namespace.to_owned(), name.to_owned())) else { return };
        self.version += 7;
        if kind == Kind::Service {
            self.changed(Some(before), None);
        }
    }

    fn changed(&mut self, before: Option<Value>, after: Option<Value>) {
        let change = Change { version: self.version, before, after };
        for watcher in &self.watchers {
            watcher.tell(&change);
        }
        self.changes.push(change);
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn list(&self, kind: Kind, namespace: &str, selector: &Selector) -> Vec<Value> {
        let of = |(key, object): (&(Kind, String, String), &Value)| {
            (key.0 == kind && key.1 == namespace && selector.fits(object)).then(|| object.clone())
        };
        self.objects.iter().filter_map(of).collect()
    }

    /// A page of a list that is at most so long, the list's version, and whether there is more.
    pub(super) fn page(&mut self, version: u64, mut all: Vec<Value>, limit: usize) -> (Vec<Value>, bool) {
        if all.len() <= limit {
            self.pages.remove(&version);
            return (all, false);
        }
        let rest = all.split_off(limit);
        self.pages.insert(version, rest);
        (all, true)
    }

    /// What is left of a list; `None` if that version is gone.
    pub(super) fn rest(&self, version: u64) -> Option<Vec<Value>> {
        self.pages.get(&version).cloned()
    }

    pub(super) fn compact(&mut self) {
        // Something else happened too, so that every version that anybody knows is an old one.
        self.version += 7;
        self.compacted = self.version;
        self.changes.clear();
        self.pages.clear();
    }

    /// Whether all is known that happened since a version.
    pub(super) fn knows(&self, version: u64) -> bool {
        version >= self.compacted
    }

    /// Begins a watch: with all that there is, or with what happened since a version.
    pub(super) fn watch(&mut self, watcher: Watcher, since: Option<u64>) {
        match since {
            Some(since) => {
                for change in self.changes.iter().filter(|change| change.version > since) {
                    watcher.tell(change);
                }
            }
            None => {
                for object in self.list(Kind::Service, &watcher.namespace, &watcher.selector) {
                    watcher.event("ADDED", object, None);
                }
            }
        }
        self.watchers.retain(|watcher| watcher.writer.is_read());
        self.watchers.push(watcher);
    }

    pub(super) fn bookmark(&mut self) {
        for watcher in self.watchers.iter().filter(|watcher| watcher.bookmarks) {
            let empty = json!({ "metadata": {}, "spec": {}, "status": { "loadBalancer": {} } });
            watcher.event("BOOKMARK", empty, Some(self.version));
        }
    }

    pub(super) fn cut(&mut self) {
        for watcher in self.watchers.drain(..) {
            watcher.writer.cut();
        }
    }

    pub(super) fn fail_watches(&mut self, code: u16) {
        for watcher in self.watchers.drain(..) {
            watcher.writer.line(&error_event(code));
        }
    }

    pub(super) fn say(&mut self, line: &str) {
        for watcher in &self.watchers {
            watcher.writer.line(line);
        }
    }
}

/// An ERROR event.
pub(super) fn error_event(code: u16) -> String {
    let reason = if code == 410 { "Expired" } else { "InternalError" };
    let message = if code == 410 { "too old resource version" } else { "an error on the server" };
    json!({ "type": "ERROR", "object": super::answer::status(code, reason, message) }).to_string()
}

impl Watcher {
    /// Tells of a change, as it looks through the selector.
    fn tell(&self, change: &Change) {
        let fits = |object: &Option<Value>| {
            let object = object.as_ref()?;
            let ours = object["metadata"]["namespace"] == self.namespace.as_str() && self.selector.fits(object);
            ours.then(|| object.clone())
        };
        match (fits(&change.before), fits(&change.after)) {
            (None, None) => {}
            (None, Some(after)) => self.event("ADDED", after, None),
            (Some(_), Some(after)) => self.event("MODIFIED", after, None),
            // As it was, but with the version of its end.
            (Some(before), None) => self.event("DELETED", before, Some(change.version)),
        }
    }

    fn event(&self, name: &str, mut object: Value, version: Option<u64>) {
        object["kind"] = json!(Kind::Service.name());
        object["apiVersion"] = json!("v1");
        if let Some(version) = version {
            object["metadata"]["resourceVersion"] = json!(version.to_string());
        }
        self.writer.line(&json!({ "type": name, "object": object }).to_string());
    }
}
