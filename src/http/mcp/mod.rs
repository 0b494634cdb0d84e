//! The Model Context Protocol: tools for agents, on standard input and output (`unlockd mcp`) and at `POST /mcp`.
//!
//! An agent proposes and a person approves. Each tool calls the function behind the HTTP API, with a caller that has no
//! other scopes than `read`, `values` and `propose` (`Caller::as_agent`): so an agent's request always awaits approval,
//! and no tool approves, cancels, or pays. Errors are answers that the model reads: what happened, what it means for the
//! credits, what to do.
//!
//! `/mcp` keeps no sessions: each POST is answered with one JSON object, GET and DELETE with 405, as the specification
//! allows; a restart disconnects nobody. An `Origin` must name this server, as the `Host` must.

mod answers;
mod inputs;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, RunningService};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, ServiceExt};
use tokio::io::{AsyncRead, AsyncWrite};

use super::api::{Caller, LARGEST_BODY, Problem};
use super::{Site, guard};

/// No tool waits for anything but the database.
const TOOL_ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Characters of an agent's own name that are kept.
const LONGEST_NAME: usize = 64;

const INSTRUCTIONS: &str = "unlockd buys contact emails and phones, and each costs credits. You can plan and propose; a \
     person approves or cancels each request, and nothing is bought before. Plan first (plan_unlock), then ask once \
     (request_unlock, with a purpose and an idempotency_key), tell the person what waits for them and where, and read the \
     outcome later (get_request, explain_request). Do not approve on a person's behalf by any other way.";

/// Calls tools for one agent.
#[derive(Clone)]
struct Agent {
    site: Arc<Site>,
    caller: Caller,
    /// Whether a call waits for a place: over HTTP it has one.
    waits_for_place: bool,
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("unlockd", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::of(&self.caller)))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = context.client_info().map(|client| client.name);
        let caller = self.caller.as_agent(agent_name(name));
        let tool = tools::named(&call.name).ok_or_else(|| {
            ErrorData::invalid_params("there is no tool with this name: tools/list has them all", None)
        })?;
        let arguments = call.arguments.unwrap_or_default();
        let answer = tokio::time::timeout(TOOL_ENDS_WITHIN, self.answer(tool, caller, arguments)).await;
        Ok(match answer.unwrap_or_else(|_| Err(Problem::busy())) {
            Ok(answer) => CallToolResult::structured(answer).into(),
            Err(problem) => {
                let Problem { title, detail, credits, .. } = problem;
                let text = format!("{title}: {detail}. Credits: {credits}.");
                CallToolResult::error(vec![ContentBlock::text(text)]).into()
            }
        })
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::of(&self.caller).into_iter().find(|tool| tool.name == name)
    }
}

impl Agent {
    async fn answer(
        &self,
        tool: tools::Name,
        caller: Caller,
        arguments: JsonObject,
    ) -> Result<serde_json::Value, Problem> {
        let _place = match self.waits_for_place {
            true => Some(self.site.calls.acquire().await.map_err(|_| Problem::busy())?),
            false => None,
        };
        tools::call(&self.site, caller, tool, arguments).await
    }
}

/// The agent's own name, short and without control characters. Over HTTP only the newest protocol tells it.
fn agent_name(name: Option<String>) -> String {
    // What the library calls itself stands for a client that did not say.
    let name = name.filter(|name| *name != Implementation::from_build_env().name).unwrap_or_default();
    let name: String = name.chars().filter(|char| !char.is_control()).take(LONGEST_NAME).collect();
    if name.trim().is_empty() { "unnamed".to_owned() } else { name.trim().to_owned() }
}

/// `POST /mcp`.
pub(super) async fn over_http(State(site): State<Arc<Site>>, caller: Caller, request: Request) -> Response {
    let agent = Agent { site, caller, waits_for_place: false };
    // The guard of all routes has judged the Host, and the one of this route the Origin.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LARGEST_BODY)
        .disable_allowed_hosts();
    let sessions: Arc<NeverSessionManager> = Arc::default();
    let service = StreamableHttpService::new(move || Ok(agent.clone()), sessions, config);
    service.handle(request).await.map(Body::new)
}

/// A page of another site can make a browser send requests here: an `Origin` must name this server.
pub(super) async fn only_own_origin(
    State(site): State<Arc<Site>>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    match names_another(request.headers(), &site) {
        true => Problem::foreign_host("the Origin is another server than this one").into_response(),
        false => next.run(request).await,
    }
}

fn names_another(headers: &HeaderMap, site: &Site) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => false,
        (Some(origin), None) => !guard::is_own_origin(origin, site),
        _ => true,
    }
}

/// Serves one agent on these streams, until the input ends or the process is told to stop.
pub async fn on_streams<R, W>(
    site: Arc<Site>,
    shows_values: bool,
    (input, output): (R, W),
) -> std::io::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let stop = site.signals.clone();
    let caller = Caller::on_this_machine(shows_values);
    let agent = Agent { site, caller, waits_for_place: true };
    let transport = AsyncRwTransport::new_server(input, output).with_max_line_length(LARGEST_BODY);
    let serve = async {
        match agent.serve(transport).await {
            Ok(serving) => ended(serving).await,
            // The agent went away before it had said anything.
            Err(error) => {
                tracing::debug!(%error, "the agent ended before the handshake");
                Ok(())
            }
        }
    };
    tokio::select! {
        ended = serve => ended,
        () = stop.stopping() => Ok(()),
    }
}

async fn ended(serving: RunningService<RoleServer, Agent>) -> std::io::Result<()> {
    serving.waiting().await.map(drop).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_a_short_name_of_visible_characters() {
        assert_eq!(agent_name(None), "unnamed");
        assert_eq!(agent_name(Some(" \n".to_owned())), "unnamed");
        assert_eq!(agent_name(Some(" Claude\n\u{1b}[31m Code ".to_owned())), "Claude[31m Code");
        assert_eq!(agent_name(Some("a".repeat(100))).len(), LONGEST_NAME);
        assert_eq!(agent_name(Some(Implementation::from_build_env().name)), "unnamed");
    }
}
