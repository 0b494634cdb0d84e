//! The tools: what each is called, takes and answers, and the function of the HTTP API that it calls.

use std::sync::Arc;

use rmcp::handler::server::common::{schema_for_input, schema_for_output};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{Asked, Explained, OneRequest, Plan, RequestList};
use super::inputs::{After, Id, Nothing, One, Page, Period, Unlock};
use crate::config::Scope;
use crate::http::Site;
use crate::http::api::changes::{self, Changes, From};
use crate::http::api::lists::{self, Part};
use crate::http::api::money::{self, Balances, Spend, Sum};
use crate::http::api::{Caller, Noun, Problem, plans, read as read_plainly, submit};
use crate::store::report::requests;
use crate::worker::people::explain;

/// Contacts and changes in one answer, and requests, unless a call says more: a model reads all of them.
const FEW: u32 = 50;
const FEWER: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Plan,
    Request,
    Get,
    List,
    Explain,
    Changes,
    Balance,
    Spend,
}

const ALL: [Name; 8] = [
    Name::Plan,
    Name::Request,
    Name::Get,
    Name::List,
    Name::Explain,
    Name::Changes,
    Name::Balance,
    Name::Spend,
];

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Name::Plan => "plan_unlock",
            Name::Request => "request_unlock",
            Name::Get => "get_request",
            Name::List => "list_requests",
            Name::Explain => "explain_request",
            Name::Changes => "list_changes",
            Name::Balance => "get_balance",
            Name::Spend => "get_spend",
        }
    }

    fn about(self) -> (&'static str, &'static str) {
        match self {
            Name::Plan => (
                "Plan an unlock",
                "Says what unlocking these contacts would buy and cost: how many are new, there already, repeated or \
                 invalid, credits at most, and the balance after. Writes nothing and spends nothing.",
            ),
            Name::Request => (
                "Ask for an unlock",
                "Asks a person to buy the emails or phones of these contacts, access to an event, or a search. The request \
                 always waits until a person approves it; nothing is bought before. Needs a purpose. With an \
                 idempotency_key the call can be repeated safely.",
            ),
            Name::Get => (
                "Get a request",
                "Shows one request: its state, counts by outcome, what it may have cost, and a page of its contacts.",
            ),
            Name::List => ("List requests", "Lists requests, newest first."),
            Name::Explain => (
                "Explain a request",
                "Says why a request is not finished: what it waits for, since when, when it is tried next, and what a \
                 person can do.",
            ),
            Name::Changes => (
                "List changes",
                "Follows contacts whose outcome was settled, oldest first. Call it again with next_after for what came later.",
            ),
            Name::Balance => (
                "Get the balance",
                "Shows the credits of each account: balance, free, held, spent today, limits. Makes no call to the vendor.",
            ),
            Name::Spend => {
                ("Get the spend", "Says where the credits went, by day, account, action or reference.")
            }
        }
    }

    /// Any one of these lets a caller use the tool.
    fn scopes(self) -> &'static [Scope] {
        match self {
            Name::Plan => &[Scope::Read, Scope::Propose],
            Name::Request => &[Scope::Propose],
            _ => &[Scope::Read],
        }
    }

    fn input(self) -> Arc<JsonObject> {
        match self {
            Name::Plan => input::<Unlock>(),
            Name::Request => {
                let mut schema = JsonObject::clone(&input::<Unlock>());
                schema.insert("required".to_owned(), json!(["purpose"]));
                Arc::new(schema)
            }
            Name::Get => input::<One>(),
            Name::List => input::<Page>(),
            Name::Explain => input::<Id>(),
            Name::Changes => input::<After>(),
            Name::Balance => input::<Nothing>(),
            Name::Spend => input::<Period>(),
        }
    }

    fn output(self) -> Arc<JsonObject> {
        match self {
            Name::Plan => schema_for_output::<Plan>(),
            Name::Request => schema_for_output::<Asked>(),
            Name::Get => schema_for_output::<OneRequest>(),
            Name::List => schema_for_output::<RequestList>(),
            Name::Explain => schema_for_output::<Explained>(),
            Name::Changes => schema_for_output::<Changes>(),
            Name::Balance => schema_for_output::<Balances>(),
            Name::Spend => schema_for_output::<Spend>(),
        }
    }

    fn tool(self) -> Tool {
        let (title, about) = self.about();
        let hints = ToolAnnotations::new()
            .read_only(self != Name::Request)
            .destructive(false)
            .idempotent(self != Name::Request)
            .open_world(false);
        let mut tool = Tool::new(self.as_str(), about, self.input());
        tool.title = Some(title.to_owned());
        tool.output_schema = Some(self.output());
        tool.annotations = Some(hints);
        tool
    }
}

/// Each type is an object, which is all that can fail here.
fn input<T: schemars::JsonSchema + std::any::Any>() -> Arc<JsonObject> {
    schema_for_input::<T>().unwrap_or_default()
}

/// The tools that a caller may use.
pub(super) fn of(caller: &Caller) -> Vec<Tool> {
    let caller = caller.as_agent(String::new());
    ALL.into_iter().filter(|name| caller.needs(name.scopes()).is_ok()).map(Name::tool).collect()
}

pub(super) fn named(name: &str) -> Option<Name> {
    ALL.into_iter().find(|tool| tool.as_str() == name)
}

fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Problem> {
    read_plainly(Noun::Argument, arguments).map_err(Problem::invalid)
}

fn answer(answer: impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(answer).map_err(|_| Problem::invalid("the answer cannot be written as JSON"))
}

/// Calls a tool. Each scope is judged by the function of the HTTP API.
pub(super) async fn call(
    site: &Arc<Site>,
    caller: Caller,
    tool: Name,
    arguments: JsonObject,
) -> Result<Value, Problem> {
    match tool {
        Name::Plan => {
            let (row, _) = read::<Unlock>(arguments)?.into_row()?;
            answer(Plan::from(plans::planned(site, &caller, row).await?))
        }
        Name::Request => answer(ask(site, caller, read(arguments)?).await?),
        Name::Get => answer(one(site, &caller, read(arguments)?).await?),
        Name::List => {
            let Page { cursor, limit } = read(arguments)?;
            let part = Part { cursor, limit: limit.or(Some(FEWER)) };
            let lists::Requests { requests, next_cursor } = lists::listed(site, &caller, &part).await?;
            answer(RequestList { requests, next_cursor })
        }
        Name::Explain => {
            caller.needs(&[Scope::Read])?;
            let Id { request_id } = read(arguments)?;
            let request = lists::visible(site, &caller, request_id).await?;
            let explained = explain::of(&site.store, &site.config(), &request, site.clock.now()).await?;
            answer(Explained::of(site, &request, explained))
        }
        Name::Changes => {
            let After { after, limit } = read(arguments)?;
            let from = From { after, wait: None, limit: limit.or(Some(FEW)) };
            answer(changes::followed(site, &caller, &from).await?)
        }
        Name::Balance => {
            let Nothing {} = read(arguments)?;
            answer(money::balances(site, &caller).await?)
        }
        Name::Spend => {
            let Period { by, since, until } = read(arguments)?;
            answer(money::spent(site, &caller, &Sum { by, since, until }).await?)
        }
    }
}

async fn ask(site: &Arc<Site>, caller: Caller, wanted: Unlock) -> Result<Asked, Problem> {
    if !wanted.has_purpose() {
        return Err(Problem::invalid("say what it is for (purpose): the person who decides reads it"));
    }
    let (row, key) = wanted.into_row()?;
    let submitted = submit::submitted(site.clone(), caller, row, key).await?;
    let submit::Submitted { request, is_new, quote } = submitted;
    Ok(Asked::of(site, request, is_new, quote))
}

async fn one(
    site: &Arc<Site>,
    caller: &Caller,
    One { request_id, cursor, limit }: One,
) -> Result<OneRequest, Problem> {
    caller.needs(&[Scope::Read])?;
    let request = lists::visible(site, caller, request_id).await?;
    let outcomes = requests::outcomes(&site.store, request_id).await?;
    let part = Part { cursor, limit: limit.or(Some(FEW)) };
    let contacts = lists::contacts_of(site, caller, request_id, &part).await?;
    Ok(OneRequest::of(site, request, outcomes, contacts))
}
