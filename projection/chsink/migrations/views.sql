-- What people query: always the rows of one build, each once. FINAL is in here, so that it need not be in queries.
CREATE OR REPLACE VIEW {db}.events AS
SELECT concat(toString(shard), ':', toString(offset)) AS position, *
FROM {db}.events_{build} FINAL;

CREATE OR REPLACE VIEW {db}.actors AS
SELECT concat(toString(shard), ':', toString(offset)) AS position, * EXCEPT (rest)
FROM {db}.actors_{build} FINAL
WHERE generation > 0;

CREATE OR REPLACE VIEW {db}.broadcasts AS
SELECT concat(toString(shard), ':', toString(offset)) AS position, shard, offset, number - 1 AS number, time, namespace, kind, key, actor, actor_id, action,
    name, args, to, except
FROM {db}.events_{build} FINAL
ARRAY JOIN broadcasts.name AS name, broadcasts.args AS args, broadcasts.to AS to, broadcasts.except AS except, arrayEnumerate(broadcasts.name) AS number;

CREATE OR REPLACE VIEW {db}.schedules AS
SELECT namespace, kind, key, actor, actor_id, schedule.1 AS id, schedule.2 AS action, schedule.3 AS args, schedule.4 AS due, schedule.5 AS every_ms,
    schedule.6 AS cron, schedule.7 AS time_zone, schedule.8 AS failed, schedule.9 AS set_at
FROM {db}.actors_{build} FINAL
ARRAY JOIN arrayZip(schedules.id, schedules.action, schedules.args, schedules.due, schedules.every_ms, schedules.cron, schedules.time_zone,
    schedules.failed, schedules.set_at) AS schedule;

CREATE OR REPLACE VIEW {db}.connections AS
SELECT namespace, kind, key, actor, actor_id, connection.1 AS id, connection.2 AS gateway, connection.3 AS principal, connection.4 AS since,
    connection.5 AS raw, connection.6 AS target, connection.7 AS params, connection.8 AS state
FROM {db}.actors_{build} FINAL
ARRAY JOIN arrayZip(connections.id, connections.gateway, connections.principal, connections.since, connections.raw, connections.target,
    connections.params, connections.state) AS connection;

-- Actions that are set aside, and actors that cannot be read.
CREATE OR REPLACE VIEW {db}.parked AS
SELECT concat(toString(shard), ':', toString(item.2)) AS position, namespace, kind, key, actor, actor_id, item.1 AS ref, item.3 AS time, item.4 AS body,
    item.5 AS action, item.6 AS request_id, item.7 AS workers, '' AS broken
FROM {db}.actors_{build} FINAL
ARRAY JOIN arrayZip(parked.ref, parked.offset, parked.time, parked.body, parked.action, parked.request_id, parked.workers) AS item
UNION ALL
SELECT concat(toString(shard), ':', toString(offset)), namespace, kind, key, actor, actor_id, toInt64(-1), time, '', '', '', toUInt32(0), broken
FROM {db}.actors_{build} FINAL
WHERE broken != '';
