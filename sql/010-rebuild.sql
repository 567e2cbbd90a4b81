-- A view is rebuilt in a schema beside its own, view_rebuild, by a consumer group that
-- reads its topics from their beginning, and takes the place of the old one in one
-- transaction.  All that belongs to a view stands in the schema of its name.

-- Makes an empty shadow of the schema: tables with their constraints, indexes and
-- privileges, and the functions.  What an earlier rebuild left behind goes.
CREATE FUNCTION cqrs.rebuild_begin(view text, rebuild_group text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    shadow text := view || '_rebuild';
    r record;
BEGIN
    IF to_regnamespace(quote_ident(view)) IS NULL THEN
        RAISE EXCEPTION 'there is no schema %, so the view cannot be rebuilt beside it', view USING ERRCODE = 'invalid_schema_name';
    END IF;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', shadow);
    DELETE FROM cqrs.offsets WHERE consumer_group = rebuild_group;
    DELETE FROM cqrs.dead_letters WHERE consumer_group = rebuild_group;
    DELETE FROM cqrs.gaps WHERE consumer_group = rebuild_group;
    EXECUTE format('CREATE SCHEMA %I', shadow);
    -- What writes the view; generated columns go on calling the functions of the view itself.
    FOR r IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = to_regnamespace(quote_ident(view)) AND p.prokind IN ('f', 'p')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
            ORDER BY p.oid LOOP
        EXECUTE cqrs.in_shadow(view, pg_get_functiondef(r.oid));
    END LOOP;
    FOR r IN SELECT c.oid, c.relname, c.reloptions, c.relacl, c.relowner FROM pg_class c
            WHERE c.relnamespace = to_regnamespace(quote_ident(view)) AND c.relkind = 'r' ORDER BY c.oid LOOP
        EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING INDEXES)', shadow, r.relname, view, r.relname);
        IF r.reloptions IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I.%I SET (%s)', shadow, r.relname, array_to_string(r.reloptions, ', '));
        END IF;
        PERFORM cqrs.rebuild_table(view, shadow, r.oid, r.relname, r.relacl);
        EXECUTE format('ALTER TABLE %I.%I OWNER TO %s', shadow, r.relname, r.relowner::regrole);
    END LOOP;
END
$$;

-- What else a table has: keys, indexes, a comment, privileges.
CREATE FUNCTION cqrs.rebuild_table(view text, shadow text, old oid, name text, privileges aclitem[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT c.conname, pg_get_constraintdef(c.oid) AS definition FROM pg_constraint c
            WHERE c.conrelid = old AND c.contype IN ('p', 'u', 'x') LOOP
        EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', shadow, name, r.conname, r.definition);
    END LOOP;
    FOR r IN SELECT pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
            WHERE i.indrelid = old AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.conrelid = old) LOOP
        EXECUTE replace(r.definition, format(' ON %I.%I ', view, name), format(' ON %I.%I ', shadow, name));
    END LOOP;
    EXECUTE format('COMMENT ON TABLE %I.%I IS %L', shadow, name, obj_description(old, 'pg_class'));
    FOR r IN SELECT a.grantee, a.privilege_type, a.is_grantable FROM aclexplode(privileges) AS a LOOP
        EXECUTE format('GRANT %s ON %I.%I TO %s%s', r.privilege_type, shadow, name,
            CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END,
            CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;

-- The text about the shadow instead of the view, also where it is a key for cqrs_changed.
CREATE FUNCTION cqrs.in_shadow(view text, sql text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(sql, '\m' || view || '(?=[.:])', view || '_rebuild', 'g')
$$;

-- How many messages the old view has seen that the new one has not.
CREATE FUNCTION cqrs.rebuild_lag(topics text[], consumer_group text, rebuild_group text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(greatest(l.next_offset - coalesce(r.next_offset, 0), (r.next_offset IS NULL)::integer)), 0)::bigint
    FROM cqrs.offsets l LEFT JOIN cqrs.offsets r ON r.consumer_group = rebuild_lag.rebuild_group
        AND (r.topic, r.partition) = (l.topic, l.partition)
    WHERE l.consumer_group = rebuild_lag.consumer_group AND l.topic = ANY (topics)
$$;

-- Puts the new view in the place of the old one, with its positions, if it has seen all that
-- the old one has; false: it has not, within two seconds.  The old one's positions are
-- locked meanwhile, so it gets no further; who asks waits for the end of the transaction.
CREATE FUNCTION cqrs.rebuild_switch(view text, topics text[], consumer_group text, rebuild_group text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    shadow text := view || '_rebuild';
    r record;
BEGIN
    PERFORM FROM cqrs.offsets o WHERE o.consumer_group = rebuild_switch.consumer_group AND o.topic = ANY (topics)
    ORDER BY o.topic, o.partition FOR UPDATE;
    FOR i IN 1..40 LOOP
        EXIT WHEN cqrs.rebuild_lag(topics, consumer_group, rebuild_group) = 0;
        IF i = 40 THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    -- What it stores just now is waited for.
    PERFORM FROM cqrs.offsets o WHERE o.consumer_group = rebuild_group ORDER BY o.topic, o.partition FOR UPDATE;
    FOR r IN SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = to_regnamespace(quote_ident(shadow)) AND c.relkind = 'r' ORDER BY c.oid LOOP
        EXECUTE format('DROP TABLE %I.%I', view, r.relname);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', shadow, r.relname, view);
    END LOOP;
    EXECUTE format('DROP SCHEMA %I CASCADE', shadow);
    DELETE FROM cqrs.offsets o WHERE o.consumer_group = rebuild_switch.consumer_group AND o.topic = ANY (topics)
        AND EXISTS (SELECT FROM cqrs.offsets n WHERE n.consumer_group = rebuild_group
            AND (n.topic, n.partition) = (o.topic, o.partition));
    UPDATE cqrs.offsets o SET consumer_group = rebuild_switch.consumer_group WHERE o.consumer_group = rebuild_group;
    DELETE FROM cqrs.dead_letters d WHERE d.consumer_group = rebuild_group;
    DELETE FROM cqrs.gaps g WHERE g.consumer_group = rebuild_group;
    PERFORM pg_notify('cqrs_changed', view);
    RETURN true;
END
$$;
