//! The routes that the google.api.http rules of all services ask for.

use std::sync::Arc;

use http::Method;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};

use super::RouterError;
use super::template::Template;

/// A message that is no JSON but a document of its own type.
const DOCUMENT: &str = "google.api.HttpBody";

/// What the request's body is.
#[derive(Debug, Clone)]
pub(super) enum BodyRule {
    /// There is none.
    None,
    /// The whole request, but for what the path fills.
    Whole,
    /// One field of the request.
    Field(FieldDescriptor),
}

/// One way to call an RPC.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path.
    pub template: Template,
    /// The RPC's path, such as `/lightkeep.v1.BackupService/GetGraph`.
    pub rpc: String,
    /// The request's type.
    pub input: MessageDescriptor,
    /// The answer's type.
    pub output: MessageDescriptor,
    /// What the body is.
    pub body: BodyRule,
    /// The field that is the whole answer, if one is named.
    pub answer: Option<FieldDescriptor>,
    /// The RPC answers with a stream.
    pub streams: bool,
}

/// All routes, the more exact ones first.
#[derive(Debug, Clone)]
pub(super) struct Routes(Vec<Arc<Route>>);

/// What was found for a path.
#[derive(Debug)]
pub(super) enum Found {
    /// A route, with the values of the fields in its path.
    Route(Arc<Route>, Vec<(String, String)>),
    /// The path is known, with these methods only.
    OtherMethods(Vec<Method>),
    /// The path is not known.
    Nothing,
}

impl Routes {
    /// Reads the rules of the services in `pool` that have one of these names.
    ///
    /// # Errors
    /// [`RouterError::Rule`] for a rule that cannot be served.
    pub(super) fn new(pool: &DescriptorPool, names: &[&str]) -> Result<Self, RouterError> {
        let Some(extension) = pool.get_extension_by_name("google.api.http") else { return Ok(Self(Vec::new())) };
        let mut routes = Vec::new();
        let services = pool.services().filter(|service| names.contains(&service.full_name()));
        for rpc in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            for rule in rules(&rpc, &extension) {
                let bad = |what: &str| RouterError::Rule { rpc: rpc.full_name().to_owned(), what: what.to_owned() };
                routes.push(Arc::new(route(&rpc, &rule).map_err(bad)?));
            }
        }
        routes.sort_by(|left, right| left.template.cmp(&right.template));
        Ok(Self(routes))
    }

    /// The routes of an RPC, named by its path.
    pub(super) fn of_rpc(&self, rpc: &str) -> impl Iterator<Item = &Route> {
        self.0.iter().map(AsRef::as_ref).filter(move |route| route.rpc == rpc)
    }

    /// Looks a decoded path up.
    pub(super) fn find(&self, method: &Method, path: &[String]) -> Found {
        // What answers GET answers HEAD; the body is dropped later.
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let mut others = Vec::new();
        for route in &self.0 {
            let Some(values) = route.template.fit(path) else { continue };
            if route.method == wanted {
                return Found::Route(route.clone(), values);
            }
            if !others.contains(&route.method) {
                others.push(route.method.clone());
            }
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }
}

impl Route {
    /// The answer is one page of a list.
    pub(super) fn is_paged(&self) -> bool {
        let has = |message: &MessageDescriptor, name: &str| message.get_field_by_name(name).is_some();
        has(&self.input, "page_size") && has(&self.input, "page_token") && has(&self.output, "next_page_token")
    }

    /// The answer is no JSON but a document of its own type.
    pub(super) fn is_document(&self) -> bool {
        self.output.full_name() == DOCUMENT
    }

    /// The answer is a document that can be read from any place on.
    pub(super) fn is_ranged(&self) -> bool {
        let has = |name: &str| self.input.get_field_by_name(name).is_some();
        self.is_document() && has("offset") && has("length")
    }
}

/// The rule of an RPC and its additional bindings.
fn rules(rpc: &MethodDescriptor, extension: &ExtensionDescriptor) -> Vec<DynamicMessage> {
    let options = rpc.options();
    if !options.has_extension(extension) {
        return Vec::new();
    }
    let Some(main) = options.get_extension(extension).as_message().cloned() else { return Vec::new() };
    let more = main.get_field_by_name("additional_bindings").map(std::borrow::Cow::into_owned);
    let mut all = vec![main];
    if let Some(Value::List(bindings)) = more {
        all.extend(bindings.iter().filter_map(Value::as_message).cloned());
    }
    all
}

fn route(rpc: &MethodDescriptor, rule: &DynamicMessage) -> Result<Route, &'static str> {
    if rpc.is_client_streaming() {
        return Err("a stream of requests has no form in REST");
    }
    let text = |name: &str| rule.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let methods =
        [("get", Method::GET), ("put", Method::PUT), ("post", Method::POST), ("delete", Method::DELETE), ("patch", Method::PATCH)];
    let (name, method) = methods.into_iter().find(|(name, _)| rule.has_field_by_name(name)).ok_or("no method that is known")?;
    let template = Template::parse(&text(name)).ok_or("a path template that is not known")?;
    let (input, output) = (rpc.input(), rpc.output());
    for path in template.fields() {
        field_at(&input, path).filter(|field| !field.is_list() && !field.is_map()).ok_or("a path field that the request does not have")?;
    }
    let body = match text("body").as_str() {
        "" => BodyRule::None,
        "*" => BodyRule::Whole,
        name => {
            let field = input.get_field_by_name(name).ok_or("a body field that the request does not have")?;
            BodyRule::Field(field)
        }
    };
    let answer = match text("response_body").as_str() {
        "" => None,
        name => Some(output.get_field_by_name(name).ok_or("a response body that the answer does not have")?),
    };
    let rpc_path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
    Ok(Route { method, template, rpc: rpc_path, input, output, body, answer, streams: rpc.is_server_streaming() })
}

/// The field at a dotted path, such as `graph.graph_id`.
pub(super) fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((first, rest)) => {
            let field = message.get_field_by_name(first).filter(|field| !field.is_list() && !field.is_map())?;
            field_at(field.kind().as_message()?, rest)
        }
    }
}

/// Sets the field at a dotted path; a repeated field takes the value in addition.
pub(super) fn set_at(message: &mut DynamicMessage, path: &str, value: Value) {
    if let Some((first, rest)) = path.split_once('.') {
        if let Some(Value::Message(inner)) = message.descriptor().get_field_by_name(first).map(|field| message.get_field_mut(&field)) {
            set_at(inner, rest, value);
        }
        return;
    }
    let Some(field) = message.descriptor().get_field_by_name(path) else { return };
    if field.is_list() {
        if let Value::List(values) = message.get_field_mut(&field) {
            values.push(value);
        }
    } else {
        // The value was read for this field's kind.
        let _fits = message.try_set_field(&field, value);
    }
}
