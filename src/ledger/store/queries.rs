//! The two things that are done with a ledger: reading what is new, and writing a batch.

use std::sync::Arc;

use sqlx::{Any, AnyConnection, Connection as _, Row as _, Transaction, any::AnyRow};

use super::{
    Asked, Batch, Committed, LineRow, LineWrite, News,
    connection::{CHANNEL, Kind},
};
use crate::{
    domain::{CommitSha, Repo},
    ledger::{
        LineKey, ListKey, TrustKey,
        lists::{self, ListRow, ListWrite},
        merges::TestMerge,
        mirror::branch_of,
        record::{self, Sealed},
    },
};

type Sql<T> = Result<T, sqlx::Error>;

/// What changed after `change` in the ledger `id`.
pub(super) async fn news(connection: &mut AnyConnection, id: &str, change: i64) -> Sql<Option<News>> {
    let head = sqlx::query("SELECT id, change FROM lastgreen_ledger WHERE one = 1").fetch_one(&mut *connection).await?;
    let (found, last): (String, i64) = (head.try_get(0)?, head.try_get(1)?);
    let replaced = found != id || last < change;
    if !replaced && last == change {
        return Ok(None);
    }
    let since = if replaced { -1 } else { change };
    let lines = sqlx::query(
        "SELECT generator, repository, line, branch, record, seal, asked_at, not_yet_seconds, change
         FROM lastgreen_lines WHERE change > $1 ORDER BY change",
    );
    let lines = lines.bind(since).fetch_all(&mut *connection).await?;
    let lists = sqlx::query(
        "SELECT generator, about, record, seal, asked_at, change FROM lastgreen_lists WHERE change > $1 ORDER BY change",
    );
    let lists = lists.bind(since).fetch_all(&mut *connection).await?;
    let merges = sqlx::query(
        "SELECT repository, number, head_sha, merge_sha FROM lastgreen_merges WHERE change > $1 ORDER BY change",
    );
    let merges = merges.bind(since).fetch_all(&mut *connection).await?;
    let repositories = sqlx::query("SELECT name, id FROM lastgreen_repositories WHERE change > $1 ORDER BY change");
    let repositories = repositories.bind(since).fetch_all(&mut *connection).await?;
    let watches = sqlx::query(
        "SELECT generator, repository, application_set, seen_seconds FROM lastgreen_watches WHERE change > $1",
    );
    let watches = watches.bind(since).fetch_all(&mut *connection).await?;
    Ok(Some(News {
        replaced,
        id: found,
        change: last,
        lines: lines.iter().filter_map(|row| line(row).transpose()).collect::<Sql<_>>()?,
        lists: lists.iter().map(list).collect::<Sql<_>>()?,
        merges: merges.iter().filter_map(|row| merge(row).transpose()).collect::<Sql<_>>()?,
        repositories: repositories.iter().filter_map(|row| repository(row).transpose()).collect::<Sql<_>>()?,
        watches: watches.iter().map(watch).collect::<Sql<_>>()?,
    }))
}

/// Writes a batch in one transaction; the ledger's counter is the lock that all writers take first.
pub(super) async fn commit(
    connection: &mut AnyConnection,
    kind: Kind,
    id: &str,
    seen: i64,
    batch: &Batch,
) -> Sql<Committed> {
    let mut work = connection.begin().await?;
    let counter = "UPDATE lastgreen_ledger SET change = change + $1
         WHERE one = 1 AND id = $2 AND change >= $3 RETURNING change";
    let counter = sqlx::query(counter).bind(batch.numbered()).bind(id.to_owned()).bind(seen);
    let counter = counter.fetch_optional(&mut *work).await?;
    let Some(counter) = counter else {
        work.rollback().await?;
        return Ok(Committed::Conflict);
    };
    let last: i64 = counter.try_get(0)?;
    let first = last - batch.numbered();
    let mut change = first;
    for line in &batch.lines {
        change += 1;
        if !write_line(&mut work, line, change).await? {
            work.rollback().await?;
            return Ok(Committed::Conflict);
        }
    }
    write_asked(&mut work, &batch.asked).await?;
    for (key, expected) in &batch.held {
        change += 1;
        if !renumber(&mut work, key, *expected, change).await? {
            work.rollback().await?;
            return Ok(Committed::Conflict);
        }
    }
    for lists in &batch.lists {
        change += 1;
        if !write_lists(&mut work, lists, change).await? {
            work.rollback().await?;
            return Ok(Committed::Conflict);
        }
    }
    for (key, asked_at) in &batch.asked_lists {
        let query = "UPDATE lastgreen_lists SET asked_at = $3
             WHERE generator = $1 AND about = $2 AND asked_at < $3";
        let query = sqlx::query(query).bind(key.generator.to_string()).bind(key.about.to_string());
        query.bind(signed(*asked_at)).execute(&mut *work).await?;
    }
    for merge in &batch.merges {
        change += 1;
        let query = "INSERT INTO lastgreen_merges (repository, number, head_sha, merge_sha, change)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (repository, number, head_sha, merge_sha) DO NOTHING";
        bind_merge(sqlx::query(query), merge).bind(change).execute(&mut *work).await?;
    }
    for merge in &batch.dropped_merges {
        let query = "DELETE FROM lastgreen_merges
             WHERE repository = $1 AND number = $2 AND head_sha = $3 AND merge_sha = $4";
        bind_merge(sqlx::query(query), merge).execute(&mut *work).await?;
    }
    for (repository, number) in &batch.forgotten_pulls {
        let query = "DELETE FROM lastgreen_merges WHERE repository = $1 AND number = $2";
        sqlx::query(query).bind(signed(*repository)).bind(signed(*number)).execute(&mut *work).await?;
    }
    for (name, id) in &batch.repositories {
        change += 1;
        let query = "INSERT INTO lastgreen_repositories (name, id, change) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET id = excluded.id, change = excluded.change";
        let name = name.to_string().to_ascii_lowercase();
        sqlx::query(query).bind(name).bind(signed(*id)).bind(change).execute(&mut *work).await?;
    }
    for (key, seconds) in &batch.watches {
        change += 1;
        let query = "INSERT INTO lastgreen_watches (generator, repository, application_set, seen_seconds, change)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (generator, repository, application_set)
             DO UPDATE SET seen_seconds = excluded.seen_seconds, change = excluded.change
             WHERE lastgreen_watches.seen_seconds < excluded.seen_seconds";
        sqlx::query(query)
            .bind(key.generator.to_string())
            .bind(signed(key.repository))
            .bind(key.application_set.to_string())
            .bind(signed(*seconds))
            .bind(change)
            .execute(&mut *work)
            .await?;
    }
    if kind == Kind::Postgres && batch.numbered() > 0 {
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(last.to_string()).execute(&mut *work).await?;
    }
    work.commit().await?;
    Ok(Committed::After(first))
}

/// Writes a line; `false` if it is not as expected any more.
async fn write_line(work: &mut Transaction<'_, Any>, line: &LineWrite, change: i64) -> Sql<bool> {
    let Sealed { text, seal } = record::seal(&line.key, &line.fact);
    let branch = branch_of(&line.fact).map_or_else(String::new, |branch| branch.to_string());
    let query = "INSERT INTO lastgreen_lines
             (generator, repository, line, branch, record, seal, asked_at, not_yet_seconds, change)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)
         ON CONFLICT (generator, repository, line)
         DO UPDATE SET branch = excluded.branch, record = excluded.record, seal = excluded.seal,
             asked_at = excluded.asked_at, not_yet_seconds = 0, change = excluded.change
         WHERE lastgreen_lines.change = $9 AND lastgreen_lines.asked_at < $10";
    let done = sqlx::query(query)
        .bind(line.key.generator.to_string())
        .bind(signed(line.key.repository))
        .bind(record::line_text(&line.key.line))
        .bind(branch)
        .bind(text)
        .bind(seal)
        .bind(signed(line.asked_at))
        .bind(change)
        .bind(line.expected)
        .bind(signed(line.unless_asked_since))
        .execute(&mut **work)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes lists; `false` if they are not as expected any more.
async fn write_lists(work: &mut Transaction<'_, Any>, write: &ListWrite, change: i64) -> Sql<bool> {
    let Sealed { text, seal } = lists::seal(&write.key, &write.fact);
    let query = "INSERT INTO lastgreen_lists (generator, about, record, seal, asked_at, change)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (generator, about)
         DO UPDATE SET record = excluded.record, seal = excluded.seal, asked_at = excluded.asked_at,
             change = excluded.change
         WHERE lastgreen_lists.change = $7";
    let done = sqlx::query(query)
        .bind(write.key.generator.to_string())
        .bind(write.key.about.to_string())
        .bind(text)
        .bind(seal)
        .bind(signed(write.asked_at))
        .bind(change)
        .bind(write.expected)
        .execute(&mut **work)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes others look at a line again; `false` if it is not as expected any more.
async fn renumber(work: &mut Transaction<'_, Any>, key: &LineKey, expected: i64, change: i64) -> Sql<bool> {
    let query = "UPDATE lastgreen_lines SET change = $4
         WHERE generator = $1 AND repository = $2 AND line = $3 AND change = $5";
    let done = sqlx::query(query)
        .bind(key.generator.to_string())
        .bind(signed(key.repository))
        .bind(record::line_text(&key.line))
        .bind(change)
        .bind(expected)
        .execute(&mut **work)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes when lines were asked. No change of its own: nobody else has to hear of it.
async fn write_asked(work: &mut Transaction<'_, Any>, asked: &[(LineKey, i64, Asked)]) -> Sql<()> {
    for (key, change, asked) in asked {
        let query = "UPDATE lastgreen_lines SET
                 asked_at = CASE WHEN asked_at < $4 THEN $4 ELSE asked_at END,
                 not_yet_seconds =
                     CASE WHEN change = $6 AND not_yet_seconds < $5 THEN $5 ELSE not_yet_seconds END
             WHERE generator = $1 AND repository = $2 AND line = $3";
        sqlx::query(query)
            .bind(key.generator.to_string())
            .bind(signed(key.repository))
            .bind(record::line_text(&key.line))
            .bind(signed(asked.at))
            .bind(signed(asked.not_yet_seconds))
            .bind(*change)
            .execute(&mut **work)
            .await?;
    }
    Ok(())
}

fn line(row: &AnyRow) -> Sql<Option<LineRow>> {
    let (generator, line): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    let Some(parsed) = record::line_of(&line) else {
        tracing::error!(generator, line, "a row of the ledger names no line and is passed over");
        return Ok(None);
    };
    let key = LineKey { generator: generator.into(), repository: unsigned(row.try_get(1)?), line: parsed };
    let branch: String = row.try_get(3)?;
    let sealed = Sealed { text: row.try_get(4)?, seal: row.try_get(5)? };
    let fact = record::open(&key, &sealed).map_err(Arc::from);
    let asked = Asked { at: unsigned(row.try_get(6)?), not_yet_seconds: unsigned(row.try_get(7)?) };
    Ok(Some(LineRow { key, change: row.try_get(8)?, branch: branch.parse().ok(), fact, asked }))
}

fn list(row: &AnyRow) -> Sql<ListRow> {
    let (generator, about): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let key = ListKey { generator: generator.into(), about: about.into() };
    let sealed = Sealed { text: row.try_get(2)?, seal: row.try_get(3)? };
    let fact = lists::open(&key, &sealed).map_err(Arc::from);
    Ok(ListRow { key, change: row.try_get(5)?, fact, asked_at: unsigned(row.try_get(4)?) })
}

fn merge(row: &AnyRow) -> Sql<Option<TestMerge>> {
    let (head, merge): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let (Ok(head), Ok(merge)) = (head.parse::<CommitSha>(), merge.parse::<CommitSha>()) else {
        tracing::error!("a row of the ledger names no test merge and is passed over");
        return Ok(None);
    };
    let (repository, number) = (unsigned(row.try_get(0)?), unsigned(row.try_get(1)?));
    Ok(Some(TestMerge { repository, number, head, merge }))
}

fn repository(row: &AnyRow) -> Sql<Option<(Repo, u64)>> {
    let (name, id): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(name.parse().ok().map(|name| (name, unsigned(id))))
}

fn watch(row: &AnyRow) -> Sql<(TrustKey, u64)> {
    let (generator, application_set): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    let repository = unsigned(row.try_get(1)?);
    let key = TrustKey { generator: generator.into(), repository, application_set: application_set.into() };
    Ok((key, unsigned(row.try_get(3)?)))
}

type Query = sqlx::query::Query<'static, Any, sqlx::any::AnyArguments>;

fn bind_merge(query: Query, merge: &TestMerge) -> Query {
    let query = query.bind(signed(merge.repository)).bind(signed(merge.number));
    query.bind(merge.head.to_string()).bind(merge.merge.to_string())
}

/// Numbers of GitHub fit into an `i64` by far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
