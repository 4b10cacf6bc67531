//! A session with a thread of its own, for whoever reads much from it. The connection and its reader wake each other for each
//! few rows: on one thread they take turns, on two they are in each other's way.

use std::panic::resume_unwind;

use tokio::sync::oneshot;

use super::{Database, Error, Session};

impl Database {
    /// What the work comes to; its panic is the caller's. It is left where it stands when nobody waits for it any more.
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
        let database = self.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let outcome = runtime.map_err(no_thread).and_then(|runtime| {
                    runtime.block_on(async {
                        tokio::select! {
                            outcome = async { work(database.session(name).await?).await } => outcome,
                            () = answer.closed() => Err(Error::Pool("nobody waits".to_owned())),
                        }
                    })
                });
                let _ = answer.send(outcome);
            })
            .map_err(no_thread)?;
        match done.await {
            Ok(outcome) => outcome,
            Err(_) => resume_unwind(thread.join().expect_err("it answers, or it panics")),
        }
    }
}

fn no_thread(error: std::io::Error) -> Error {
    Error::Pool(format!("its thread is not there: {error}"))
}
