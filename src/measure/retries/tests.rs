use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::measure::Outcome;
use crate::smtp::{MailKey, RetryKey, Stage};

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::at(Duration::from_millis(milliseconds))
}

/// The reply to a command that arrived at this time, in milliseconds.
fn outcome(stage: Stage, milliseconds: u64, code: u16) -> Outcome {
    let positive = if stage == Stage::Data { 3 } else { 2 };
    Outcome {
        stage,
        is_accepted: code / 100 == positive,
        code: Some(code),
        at: at(milliseconds),
        replied: at(milliseconds),
    }
}

/// One of the server's addresses.
fn server(number: u64) -> ServerKey {
    ServerKey::of(&number)
}

const ANN: MailKey = MailKey { sender: 1, id: None, size: None };

/// A transaction whose MAIL is accepted.
fn begun(milliseconds: u64) -> Tries {
    Tries::begin(ANN, server(1), &outcome(Stage::Mail, milliseconds, 250))
}

/// A transaction with one recipient, answered with this code.
fn to(pair: u64, milliseconds: u64, code: u16) -> Tries {
    let mut tries = begun(milliseconds);
    tries.note(RetryKey::Recipient(pair), &outcome(Stage::Rcpt, milliseconds, code));
    tries
}

/// A transaction whose final dot is answered with this code.
fn message(pair: u64, id: Option<u64>, milliseconds: u64, code: u16) -> Tries {
    let mut tries = to(pair, milliseconds, 250);
    tries.note(RetryKey::Data, &outcome(Stage::Data, milliseconds, 354));
    tries.note(RetryKey::Message(id), &outcome(Stage::Message, milliseconds, code));
    tries
}

fn stats(retries: &Retries) -> RetryStats {
    let (mut stats, tentative) = retries.figures();
    tentative.add_to(&mut stats);
    assert_eq!(retries.entries.len(), retries.order.len());
    stats
}

fn after(all: &[Tries]) -> RetryStats {
    let mut retries = Retries::default();
    all.iter().for_each(|tries| retries.note(tries));
    stats(&retries)
}

/// Deferred, retried, waits, identified waits, ambiguous.
fn counts(stats: &RetryStats) -> [u64; 5] {
    let RetryStats { deferred, retried, after, identified, ambiguous, .. } = stats;
    [*deferred, *retried, after.count(), identified.count(), *ambiguous]
}

proptest! {
    /// Compared with the whole history, searched again for each attempt.
    #[test]
    fn while_a_pair_has_one_message_each_try_finds_the_deferral_before_it(
        tries in prop::collection::vec((0..5_u64, any::<bool>()), 0..60),
    ) {
        let mut expected = RetryStats::default();
        for (index, (pair, is_deferred)) in tries.iter().enumerate() {
            let own = (0..index).rev().filter(|other| tries[*other].0 == *pair);
            let deferred: Vec<usize> = own.take_while(|other| tries[*other].1).collect();
            if let Some(last) = deferred.first() {
                expected.after.add(Duration::from_millis((index - last) as u64));
            }
            expected.retried += u64::from(deferred.len() == 1);
            expected.deferred += u64::from(*is_deferred && deferred.is_empty());
        }
        let numbered = (0..).zip(&tries);
        let all = numbered.map(|(time, (pair, is_deferred))| to(*pair, time, if *is_deferred { 451 } else { 250 }));
        prop_assert_eq!(after(&all.collect::<Vec<_>>()), expected);
    }
}

/// A queued message of a client that waits before it retries.
#[derive(Clone, Debug)]
struct Queued {
    pair: u64,
    id: Option<u64>,
    /// MAIL has its ENVID.
    id_is_known_at_mail: bool,
    /// Time of its next attempt, in milliseconds.
    due: u64,
    /// The deferrals of its attempts, each with the time to the next one; then it is accepted.
    deferred: Vec<(Stage, u64)>,
}

/// The least time before a retry.
const BACKOFF: u64 = 4000;

fn mails() -> impl Strategy<Value = Vec<Queued>> {
    let stage = prop::sample::select(vec![Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Message]);
    let deferred = prop::collection::vec((stage, BACKOFF..20_000), 0..4);
    let mail = (0..4_u64, any::<u64>(), 0..3000_u64, deferred).prop_map(|(pair, id, due, deferred)| {
        // Half of them have no identity.
        let id_is_known_at_mail = id % 4 == 0;
        Queued { pair, id: Some(id).filter(|id| id % 2 == 0), id_is_known_at_mail, due, deferred }
    });
    prop::collection::vec(mail, 1..12)
}

/// One attempt: a transaction that is over at once.
fn attempt(mail: &Queued, stage: Option<Stage>) -> Tries {
    let mut tries = attempt_without_envid(mail, stage);
    if mail.id_is_known_at_mail {
        (tries.mail.id, tries.id) = (mail.id, mail.id);
    }
    tries
}

fn attempt_without_envid(mail: &Queued, stage: Option<Stage>) -> Tries {
    let now = mail.due;
    match stage {
        Some(Stage::Mail) => Tries::begin(ANN, server(1), &outcome(Stage::Mail, now, 451)),
        Some(Stage::Rcpt) => to(mail.pair, now, 451),
        Some(Stage::Data) => {
            let mut tries = to(mail.pair, now, 250);
            tries.note(RetryKey::Data, &outcome(Stage::Data, now, 451));
            tries
        }
        Some(_) => message(mail.pair, mail.id, now, 451),
        None => message(mail.pair, mail.id, now, 250),
    }
}

proptest! {
    /// For any deferrals, and any order of messages of the same pairs: a client that waits never counts as retrying at
    /// once, and once all is delivered later messages don't either.
    #[test]
    fn a_client_that_waits_is_not_accused(mut mails in mails()) {
        let mut retries = Retries::default();
        let mut by_pair: BTreeMap<u64, usize> = BTreeMap::new();
        mails.iter().for_each(|mail| *by_pair.entry(mail.pair).or_default() += 1);
        let mut rcpts_tried_again = 0;
        while let Some(index) = (0..mails.len()).min_by_key(|index| mails[*index].due) {
            let mail = &mut mails[index];
            let answer = (!mail.deferred.is_empty()).then(|| mail.deferred.remove(0));
            retries.note(&attempt(mail, answer.map(|(stage, _)| stage)));
            if let Some((stage, wait)) = answer {
                mail.due += wait;
                rcpts_tried_again += u64::from(stage != Stage::Mail && by_pair[&mail.pair] == 1);
            } else {
                mails.swap_remove(index);
            }
            let identified = stats(&retries).identified;
            prop_assert!(identified.count() == 0 || identified.min() >= Duration::from_millis(BACKOFF));
        }
        let stats = stats(&retries);
        prop_assert!(stats.after.count() == 0 || stats.after.min() >= Duration::from_millis(BACKOFF), "{stats:?}");
        // Retries of messages that are alone in their pair are all counted.
        prop_assert!(stats.after.count() >= rcpts_tried_again, "{stats:?}: {rcpts_tried_again}");
        prop_assert!(stats.retried <= stats.deferred && stats.forgotten == 0, "{stats:?}");
    }
}

#[test]
fn another_message_of_a_sender_may_be_the_one_whose_mail_was_deferred() {
    let deferred = Tries::begin(ANN, server(1), &outcome(Stage::Mail, 0, 451));
    assert_eq!(counts(&after(&[deferred, message(7, Some(1), 200, 250)])), [0, 0, 0, 0, 1]);
    let deferred = || Tries::begin(ANN, server(1), &outcome(Stage::Mail, 0, 451));
    assert_eq!(counts(&after(&[deferred(), deferred()])), [0; 5], "sent without waiting for the reply");
}

/// The transaction of a message with this ENVID and SIZE.
fn with(mail: MailKey, milliseconds: u64, codes: [u16; 2]) -> Tries {
    let mut tries = Tries::begin(mail, server(1), &outcome(Stage::Mail, milliseconds, codes[0]));
    if codes[0] == 250 {
        tries.note(RetryKey::Recipient(7), &outcome(Stage::Rcpt, milliseconds, codes[1]));
    }
    tries
}

#[test]
fn an_envid_tells_messages_apart_from_mail_on() {
    let [one, other] = [1, 2].map(|id| MailKey { id: Some(id), ..ANN });
    let mail = [with(one, 0, [451, 0]), with(other, 1, [250, 250]), with(one, 5, [250, 250])];
    let stats = after(&mail);
    assert_eq!(counts(&stats), [0, 0, 1, 1, 0], "MAIL names no recipient");
    assert_eq!(stats.identified.max().as_millis(), 5);
    let rcpt = [with(one, 0, [250, 451]), with(other, 1, [250, 250]), with(one, 5, [250, 250])];
    let stats = after(&rcpt);
    assert_eq!((counts(&stats), stats.identified.max().as_millis()), ([1, 1, 1, 1, 0], 5));
}

/// RFC 5321 section 5.1: each address is tried in turn.
#[test]
fn a_try_at_the_next_address_continues_the_one_before() {
    let at_other = |mut tries: Tries| {
        tries.server = server(2);
        tries
    };
    for deferred in [|time| to(7, time, 451), |time| message(7, Some(1), time, 451)] {
        let mut all = vec![deferred(0), at_other(deferred(1))];
        assert_eq!(counts(&after(&all)), [1, 0, 0, 0, 0]);
        all.push(message(7, Some(1), 4001, 250));
        let stats = after(&all);
        assert_eq!((counts(&stats)[..3].to_vec(), stats.after.min().as_millis()), (vec![1, 1, 1], 4000));
        let later = after(&[deferred(0), at_other(message(7, Some(1), 1000, 250))]);
        assert_eq!(later.after.max().as_millis(), 1000, "one that waits is a try of its own");
    }
    let mail = |time| Tries::begin(ANN, server(1), &outcome(Stage::Mail, time, 451));
    assert_eq!(counts(&after(&[mail(0), at_other(mail(1))])), [0; 5]);
}

#[test]
fn a_message_of_another_size_is_another_message() {
    let [small, large] = [10, 20].map(|size| MailKey { size: Some(size), ..ANN });
    let mail = [with(small, 0, [451, 0]), with(large, 1, [250, 250]), with(small, 5, [250, 250])];
    assert_eq!(counts(&after(&mail[..2])), [0; 5]);
    assert_eq!(
        counts(&after(&mail)),
        [0, 0, 0, 0, 1],
        "one of the same size may be another one all the same"
    );
    let rcpt = [with(small, 0, [250, 451]), with(large, 1, [250, 250]), with(small, 5, [250, 250])];
    assert_eq!(counts(&after(&rcpt[..2])), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&after(&rcpt)), [1, 0, 0, 0, 1], "the pair has several");
    assert_eq!(counts(&after(&[with(small, 0, [250, 451]), with(small, 5, [250, 250])])), [1, 1, 1, 0, 0]);
}

#[test]
fn a_second_message_of_a_pair_takes_back_what_was_taken_for_a_retry() {
    let first = || vec![to(7, 0, 451), message(7, Some(2), 1, 250)];
    assert_eq!(counts(&after(&first())), [1, 1, 1, 0, 0]);
    let mut same = first();
    same.push(message(7, Some(2), 2, 250));
    assert_eq!(counts(&after(&same)), [1, 1, 1, 0, 0], "the same once more");
    for id in [Some(3), None] {
        let mut other = first();
        other.push(message(7, id, 2, 250));
        assert_eq!(counts(&after(&other)), [1, 0, 0, 0, 1]);
        other.extend([to(7, 10, 451), message(7, Some(4), 11, 250)]);
        assert_eq!(counts(&after(&other)), [2, 0, 0, 0, 2], "from then on nothing is taken for one");
    }
}

#[test]
fn what_had_begun_before_the_reply_is_another_message() {
    let mut overlapping = begun(0);
    overlapping.note(RetryKey::Recipient(7), &outcome(Stage::Rcpt, 20, 250));
    let all = [to(7, 10, 451), overlapping, message(7, None, 30, 250)];
    assert_eq!(counts(&after(&all[..2])), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&after(&all)), [1, 0, 0, 0, 1]);
}

#[test]
fn messages_of_a_pair_are_told_apart_by_their_ids() {
    let all = [
        message(7, Some(1), 0, 451),
        message(7, Some(2), 1, 451),
        message(7, Some(3), 2, 250),
        message(7, Some(2), 3, 451),
        message(7, Some(1), 4, 250),
        message(7, Some(2), 5, 250),
    ];
    let stats = after(&all);
    assert_eq!(counts(&stats), [2, 2, 3, 3, 0]);
    let waits = [stats.after.min(), stats.after.quantile(0.5), stats.after.max()];
    assert_eq!(waits.map(|wait| wait.as_millis()), [2, 2, 4]);
}

#[test]
fn a_recipient_that_is_deferred_beside_others_is_known_by_the_message_they_had() {
    let mut tries = to(7, 0, 451);
    tries.note(RetryKey::Recipient(8), &outcome(Stage::Rcpt, 0, 250));
    tries.note(RetryKey::Data, &outcome(Stage::Data, 0, 354));
    tries.note(RetryKey::Message(Some(1)), &outcome(Stage::Message, 0, 250));
    assert_eq!(
        counts(&after(&[tries, message(7, Some(2), 1, 250), message(7, Some(1), 5, 250)])),
        [1, 1, 1, 1, 0]
    );
}

#[test]
fn a_try_within_the_transaction_is_of_the_same_message() {
    let mut rcpt = to(7, 0, 451);
    rcpt.note(RetryKey::Recipient(7), &outcome(Stage::Rcpt, 3, 451));
    rcpt.note(RetryKey::Recipient(7), &outcome(Stage::Rcpt, 4, 250));
    assert_eq!(counts(&after(&[rcpt])), [1, 1, 2, 2, 0]);
    let mut data = to(7, 0, 250);
    data.note(RetryKey::Data, &outcome(Stage::Data, 1, 451));
    data.note(RetryKey::Data, &outcome(Stage::Data, 2, 354));
    assert_eq!(counts(&after(&[data])), [1, 1, 1, 1, 0]);
    let mut pipelined = to(7, 0, 451);
    pipelined.note(RetryKey::Recipient(7), &outcome(Stage::Rcpt, 0, 451));
    assert_eq!(counts(&after(&[pipelined])), [1, 0, 0, 0, 0]);
}

#[test]
fn one_recipient_too_many_may_be_tried_again_at_once() {
    let mut tries = to(7, 0, 250);
    tries.note(RetryKey::Recipient(8), &outcome(Stage::Rcpt, 0, 452));
    assert_eq!(counts(&after(&[tries, message(8, None, 1, 250)])), [0; 5]);
    assert_eq!(
        counts(&after(&[to(8, 0, 452), message(8, None, 1, 250)])),
        [1, 1, 1, 0, 0],
        "there was no other"
    );
}

#[test]
fn the_oldest_is_forgotten_when_there_are_too_many() {
    let most = MOST_ENTRIES as u64;
    let mut retries = Retries::default();
    (0..most + 10).for_each(|pair| retries.note(&to(pair, 0, 451)));
    assert_eq!(retries.entries.len(), MOST_ENTRIES);
    (0..most + 10).for_each(|pair| retries.note(&to(pair, 1, 250)));
    let seen = stats(&retries);
    assert_eq!((seen.forgotten, counts(&seen)), (10, [most + 10, most, most, 0, 0]));
    // Entries without an expected retry go first; tentative retries remain.
    (0..most).for_each(|pair| retries.note(&to(most + 10 + pair, 2, 451)));
    let seen = stats(&retries);
    assert_eq!((seen.forgotten, counts(&seen)), (10, [2 * most + 10, most, most, 0, 0]));
    assert_eq!(retries.tentative.waits.len(), 0);
}

#[test]
fn time_runs_from_the_reply() {
    let mut late = begun(0);
    late.note(RetryKey::Recipient(7), &Outcome { replied: at(5000), ..outcome(Stage::Rcpt, 1000, 451) });
    assert_eq!(after(&[late, to(7, 8000, 250)]).after.max().as_secs(), 3);
}
