//! A session with a thread of its own, for whoever reads much from it. The connection and its reader wake each other for each
//! few rows: on one thread they take turns, on two they are in each other's way.

use tokio::sync::oneshot;

use super::{Database, Error, Session};

impl Database {
    /// What the work comes to. It is left where it stands when nobody waits for it any more.
    pub async fn apart<T, F>(
        &self,
        name: &'static str,
        work: impl FnOnce(Session) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>>,
    {
        let (mut answer, done) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let database = self.clone();
        let answered = async move || {
            let outcome = tokio::select! {
                outcome = async { work(database.session(name).await?).await } => outcome,
                () = answer.closed() => return,
            };
            let _ = answer.send(outcome);
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(answered()))
            .map_err(no_thread)?;
        done.await.map_err(no_thread)?
    }
}

fn no_thread(error: impl std::fmt::Display) -> Error {
    Error::Pool(format!("its thread is not there: {error}"))
}
