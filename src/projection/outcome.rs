words! {
    /// What came of a decision.
    pub enum Outcome {
        Done = "done",
        /// The bytes were judged again, and are no document still.
        StillFailing = "still_failing",
        /// It was as the decision wants it.
        AlreadySo = "already_so",
        /// Another decision came first, or what it is about is no more.
        TooLate = "too_late",
        NoSuchLetter = "no_such_letter",
        /// A definition would change what is fixed for the life of a collection.
        Refused = "refused",
    }
}
