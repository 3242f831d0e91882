//! Targets: registered, changed, removed.

use sea_orm::ConnectionTrait;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::idempotency::Request;
use super::place::{link_directory, mark_directory};
use crate::base::ids::TargetId;
use crate::base::secret::Secret;
use crate::domain::caller::Caller;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::target::{Place, TargetFields, TargetRules, TargetStatus};
use crate::store::entity::target::Model;
use crate::store::{self, targets};

/// A target that is to be registered.
#[derive(Debug, Clone)]
pub struct NewTarget {
    /// Where it is, as the caller wrote it.
    pub place: Place,
    /// The key to another Lightkeep.
    pub api_key: Option<Secret>,
    /// The password of copies there; ours where it does not say.
    pub repository_password: Option<Secret>,
    /// How it is sent to.
    pub fields: TargetFields,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// What is to change of a target; what is not set stays.
#[derive(Debug, Clone)]
pub struct TargetUpdate {
    /// Of this target.
    pub target_id: String,
    /// Its address, that of its gRPC, and its directory, as far as the caller has named them: they stay.
    pub place: [Option<String>; 3],
    /// How it is sent to.
    pub fields: TargetFields,
    /// The key to another Lightkeep.
    pub api_key: Option<Secret>,
    /// The etag of the target as the caller knows it.
    pub etag: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// The etag of a target.
pub fn etag(target: &Model) -> String {
    target.revision.to_string()
}

impl Services {
    /// Registers a target.
    ///
    /// # Errors
    /// The name is taken; there are too many; its address or directory is not fit.
    pub async fn register_target(&self, caller: &Caller, new: &NewTarget) -> Result<Model, Error> {
        match self.register_target_once(caller, new).await {
            Err(error) if error.is_race() => self.register_target_once(caller, new).await,
            result => result,
        }
    }

    async fn register_target_once(&self, caller: &Caller, new: &NewTarget) -> Result<Model, Error> {
        // Not the key: a hash of it has no place in the database.
        let (place, fields) = (format!("{:?}", new.place), format!("{:?}", new.fields));
        let body = [place.as_str(), &fields];
        let request = Request { request_id: new.request_id.as_deref(), action: "RegisterTarget", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.find_target(self.store().read(), &first).await;
        }
        let rules = new.fields.clone().parse()?;
        let place = self.resolve_place(&new.place, &rules.name).await?;
        if let Place::Directory(path) = &place {
            self.check_unowned(path).await?;
        }
        let row = self.target_row(&place, new, rules)?;
        if let Place::Directory(path) = &place {
            // Before the transaction, as a disk may hang: a mark of a target that comes to nothing keeps nobody away.
            let (path, mark) = (path.clone(), row.target_id.to_string());
            self.blocking(move || mark_directory(&path, &mark)).await?;
        }
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_target(&*transaction, &first).await;
        }
        check_name_free(&*transaction, &row).await?;
        let most = self.settings().replication.most_targets;
        if targets::count(&*transaction).await? >= u64::from(most) {
            let message = format!("there are {most} targets already: remove one, or raise `LIGHTRAG_REPLICATION_MAX_TARGETS`");
            return Err(Error::refused(ErrorKind::Exhausted, "TOO_MANY_TARGETS", message));
        }
        let row = targets::insert(&*transaction, row).await?;
        request.remember(self, &*transaction, row.target_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "RegisterTarget", None, Some(row.target_id.to_string())).await?;
        if let Place::Directory(path) = place {
            // In the transaction: a target whose copies cannot be found is none.
            let link = self.copies_of(&row.name);
            self.blocking(move || link_directory(&path, &link)).await?;
        }
        store::commit(transaction).await?;
        if let Err(error) = self.open_copies_of(&row).await {
            tracing::error!(target_name = row.name, error = error.chain(), "the copies of a target cannot be opened");
        }
        self.wakeup().announce_work();
        Ok(row)
    }

    /// Has the copies in a target's directory opened with their own password.
    ///
    /// # Errors
    /// It was sealed with another key.
    pub(super) async fn open_copies_of(&self, target: &Model) -> Result<(), Error> {
        if target.path.is_some() {
            let password = self.password_at(target).await?;
            self.repositories().set_password(&self.copies_of(&target.name), password);
        }
        Ok(())
    }

    /// Has the copies in all targets' directories opened with their own passwords: at the start, and from time to time, as another instance may have registered one.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_all_copies(&self) -> Result<(), Error> {
        for target in targets::list_all(self.store().read()).await? {
            if let Err(error) = self.open_copies_of(&target).await {
                tracing::error!(target_name = target.name, error = error.chain(), "the copies of a target cannot be opened");
            }
        }
        Ok(())
    }

    fn target_row(&self, place: &Place, new: &NewTarget, rules: TargetRules) -> Result<Model, Error> {
        let now = self.now();
        let (base_url, grpc_url, path) = match place {
            Place::Peer { base_url, grpc_url } => (Some(base_url.clone()), grpc_url.clone(), None),
            Place::Directory(path) => (None, None, Some(path.to_string_lossy().into_owned())),
        };
        Ok(Model {
            target_id: TargetId::new(self.ids(), now),
            name: rules.name,
            base_url,
            grpc_url,
            path,
            api_key: new.api_key.as_ref().map(|key| self.seal(key)).transpose()?,
            repository_password: new.repository_password.as_ref().map(|password| self.seal(password)).transpose()?,
            enabled: rules.enabled,
            graph_selector: rules.graph_selector.to_string(),
            on_request: rules.on_request,
            parallelism: rules.parallelism,
            bytes_per_second: rules.bytes_per_second,
            send_order: rules.send_order,
            off_site: rules.off_site,
            reread_percent_per_day: rules.reread_percent_per_day,
            status: TargetStatus::Unknown,
            condition: None,
            checked_at: None,
            created_at: now,
            revision: 1,
        })
    }

    pub(super) async fn find_target(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Target", id: id.to_owned() };
        let parsed = TargetId::parse(id).ok_or_else(missing)?;
        targets::find(connection, parsed).await?.ok_or_else(missing)
    }

    /// One target.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_target(&self, id: &str) -> Result<Model, Error> {
        Ok(self.aged_target(self.find_target(self.store().read(), id).await?))
    }

    /// All targets, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn all_targets(&self) -> Result<Vec<Model>, Error> {
        let rows = targets::list_all(self.store().read()).await?;
        Ok(rows.into_iter().map(|target| self.aged_target(target)).collect())
    }

    /// Targets, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_targets(&self, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        let Page { items, next_page_token } = targets::list(self.store().read(), page).await?;
        Ok(Page { items: items.into_iter().map(|target| self.aged_target(target)).collect(), next_page_token })
    }

    /// Changes a target; gives it as it is then.
    ///
    /// # Errors
    /// There is none with this id; the etag is another; the name is taken; a value is wrong.
    pub async fn update_target(&self, caller: &Caller, update: &TargetUpdate) -> Result<Model, Error> {
        let (fields, etag_text) = (format!("{:?}", update.fields), update.etag.as_deref().unwrap_or_default());
        let body = [update.target_id.as_str(), &fields, etag_text];
        let request = Request { request_id: update.request_id.as_deref(), action: "UpdateTarget", body: &body };
        let transaction = self.store().begin().await?;
        let old = self.find_target(&*transaction, &update.target_id).await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(old);
        }
        let is_other = |wanted: &String| *wanted != etag(&old);
        if update.etag.as_ref().is_some_and(is_other) {
            return Err(changed_meanwhile(&old));
        }
        let row = self.updated_target(&old, update)?;
        check_name_free(&*transaction, &row).await?;
        if !targets::update(&*transaction, &row, old.revision).await? {
            return Err(changed_meanwhile(&old));
        }
        request.remember(self, &*transaction, row.target_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "UpdateTarget", None, Some(row.target_id.to_string())).await?;
        store::commit(transaction).await?;
        // What is being sent hears of it at once.
        self.sending().line(&row).resume();
        self.wakeup().announce_work();
        Ok(row)
    }

    fn updated_target(&self, old: &Model, update: &TargetUpdate) -> Result<Model, Error> {
        let new = update.fields.clone();
        let known = [&old.base_url, &old.grpc_url, &old.path];
        for ((field, known), named) in ["base_url", "grpc_url", "path"].into_iter().zip(known).zip(&update.place) {
            if named.is_some() && named != known {
                return Err(Error::invalid(field, "must stay: where a target is cannot be changed, register another one"));
            }
        }
        if let Some(name) = new.name.as_ref().filter(|name| old.path.is_some() && **name != old.name) {
            return Err(Error::invalid("name", format_args!("must stay for a directory, whose copies are named by it: {name}")));
        }
        let fields = TargetFields {
            name: new.name.or_else(|| Some(old.name.clone())),
            enabled: new.enabled.or(Some(old.enabled)),
            graph_selector: new.graph_selector.or_else(|| Some(old.graph_selector.clone())),
            on_request: new.on_request.or(Some(old.on_request)),
            parallelism: new.parallelism.or(Some(old.parallelism)),
            bytes_per_second: new.bytes_per_second.or(Some(old.bytes_per_second)),
            send_order: new.send_order.or(Some(old.send_order)),
            off_site: new.off_site.or(Some(old.off_site)),
            reread_percent_per_day: new.reread_percent_per_day.or(Some(old.reread_percent_per_day)),
        };
        let rules = fields.parse()?;
        let sealed = update.api_key.as_ref().map(|key| self.seal(key)).transpose()?;
        Ok(Model {
            name: rules.name,
            api_key: sealed.or_else(|| old.api_key.clone()),
            enabled: rules.enabled,
            graph_selector: rules.graph_selector.to_string(),
            on_request: rules.on_request,
            parallelism: rules.parallelism,
            bytes_per_second: rules.bytes_per_second,
            send_order: rules.send_order,
            off_site: rules.off_site,
            reread_percent_per_day: rules.reread_percent_per_day,
            revision: old.revision + 1,
            ..old.clone()
        })
    }

    /// Removes a target; what it holds stays there.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn remove_target(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<(), Error> {
        let request = Request { request_id, action: "RemoveTarget", body: &[id] };
        let transaction = self.store().begin().await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(());
        }
        let target = self.find_target(&*transaction, id).await?;
        targets::delete(&*transaction, target.target_id).await?;
        request.remember(self, &*transaction, id.to_owned()).await?;
        self.record_audit(&*transaction, caller, "RemoveTarget", None, Some(id.to_owned())).await?;
        store::commit(transaction).await?;
        if let Err(error) = self.remove_mirrors(&target).await {
            tracing::warn!(target_name = target.name, error = error.chain(), "what was mirrored of a target stays in `.mirrors`");
        }
        Ok(())
    }
}

async fn check_name_free(connection: &impl ConnectionTrait, row: &Model) -> Result<(), Error> {
    let other = targets::find_by_name(connection, &row.name).await?;
    if other.is_some_and(|other| other.target_id != row.target_id) {
        let message = format!("a target `{}` is registered already, choose another name", row.name);
        return Err(Error::refused(ErrorKind::AlreadyExists, "TARGET_EXISTS", message));
    }
    Ok(())
}

fn changed_meanwhile(target: &Model) -> Error {
    let message = format!("target `{}` has changed meanwhile, read it again: its etag is `{}`", target.target_id, etag(target));
    Error::refused(ErrorKind::Aborted, "ETAG_MISMATCH", message)
}
