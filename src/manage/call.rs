//! One request of somebody who was let in: what it is about, and the way to the broker.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::{Outcome, Refusal};
use super::attempts::Attempts;
use super::auth::Caller;
use super::fields::Fields;
use super::guests::Guest;
use super::hosts::Hosts;
use super::log::Followers;
use super::origin::Origin;
use super::totals::Samples;
use super::turns::Turns;
use crate::catalog::clients::Clients;
use crate::catalog::view::View;
use crate::model::administration::{AdministrationError, Applied, Change};
use crate::model::ids::Name;
use crate::server::Administrator;

/// Bytes of a body.
const MOST_BODY: usize = 1 << 20;
/// Bytes of a large one: a message, or definitions.
const MOST_LARGE_BODY: usize = 20_000_000;
/// How many large ones are read at a time.
pub(super) const LARGE_BODIES: usize = 2;
/// How much is read of a body that is of no use: a client that is still sending hears no answer.
const MOST_DISCARDED: usize = 16 << 20;
/// How long a client may take to send a body, and one of no use.
const PATIENCE: Duration = Duration::from_secs(15);
const DISCARDING: Duration = Duration::from_secs(2);

/// What all requests share.
pub(super) struct Context {
    pub(super) administrator: Administrator,
    pub(super) turns: Turns,
    pub(super) samples: Arc<Samples>,
    /// Logins to this API.
    pub(super) attempts: Attempts,
    /// Those who follow the log.
    pub(super) followers: Followers,
    /// By which names it may be asked for.
    pub(super) hosts: Hosts,
    /// For those whose listings are to be put in order.
    pub(super) arranging: Arc<Semaphore>,
    /// For those who send large bodies.
    pub(super) large_bodies: Arc<Semaphore>,
}

pub(super) struct Call<'a> {
    pub(super) caller: Caller,
    pub(super) context: &'a Context,
    pub(super) guest: &'a Arc<Guest>,
    /// The query of the path.
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) origin: Origin,
    pub(super) body: &'a mut Incoming,
}

impl Call<'_> {
    pub(super) fn view(&self) -> &View {
        self.context.administrator.view()
    }

    /// Who is connected.
    pub(super) fn clients(&self) -> &Arc<Clients> {
        self.context.administrator.clients()
    }

    /// The name of a vhost that the caller sees. 404 otherwise.
    pub(super) fn vhost(&self, name: &str) -> Result<Name, Refusal> {
        let state = self.view().read();
        let vhost = state.vhost(name).ok_or(Refusal::NotFound)?;
        if self.caller.sees(vhost) {
            Ok(vhost.name.clone())
        } else {
            Err(Refusal::Missing("Not Found".into()))
        }
    }

    /// The same for what is to be put into it: clients are told what is missing.
    pub(super) fn vhost_to_change(&self, name: &str) -> Result<Name, Refusal> {
        self.vhost(name).map_err(|refusal| match refusal {
            Refusal::NotFound => Refusal::Missing("vhost_not_found".into()),
            other => other,
        })
    }

    /// The name of a user who exists. 404 otherwise.
    pub(super) fn user(&self, name: &str) -> Result<Name, Refusal> {
        self.view().read().user(name).map(|user| user.name.clone()).ok_or(Refusal::NotFound)
    }

    pub(super) async fn apply(&self, change: Change) -> Result<Applied, AdministrationError> {
        self.context.administrator.apply(change).await
    }

    /// Makes a change, and says how it went as most resources do.
    pub(super) async fn change(&self, change: Change) -> Outcome {
        Ok(self.apply(change).await?.into())
    }

    /// Reads the body.
    pub(super) async fn fields(&mut self) -> Result<Fields, Refusal> {
        Fields::read(&self.small_body().await?)
    }

    /// Reads a body that is no object.
    pub(super) async fn small_body(&mut self) -> Result<Vec<u8>, Refusal> {
        timeout(PATIENCE, collect(self.body, MOST_BODY)).await.map_err(|_| Refusal::Slow)?
    }

    /// Reads a body that may be large, and with it the turn it was read in: few at a time may be, over all who ask.
    pub(super) async fn large_body(&mut self) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
        let large = Arc::clone(&self.context.large_bodies);
        let turn = timeout(PATIENCE, large.acquire_owned()).await.map_err(|_| Refusal::Busy)?;
        let turn = turn.map_err(|_| Refusal::Stopping)?;
        let reading = timeout(PATIENCE, collect(self.body, MOST_LARGE_BODY));
        Ok((reading.await.map_err(|_| Refusal::Slow)??, turn))
    }

    /// Reads the fields of a body that may be large.
    pub(super) async fn large_fields(&mut self) -> Result<Fields, Refusal> {
        let length = self.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length <= MOST_BODY) {
            return self.fields().await;
        }
        let (bytes, _turn) = self.large_body().await?;
        Fields::read(&bytes)
    }
}

async fn collect(body: &mut Incoming, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::bad(format!("the body cannot be read: {error}")))?;
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() + data.len() > most {
            return Err(Refusal::bad("Exceeded HTTP request body size limit"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Reads what nobody wanted of a body.
pub(super) async fn discard(body: &mut Incoming) {
    let discarding = async {
        let mut read = 0;
        while read < MOST_DISCARDED
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    };
    // Whoever is slower than that may miss the answer.
    let _ = timeout(DISCARDING, discarding).await;
}
