-- What only the database refuses, found out for many rows at a time.
--
-- Rows that were refused are copied into a stage, a temporary table with a
-- number for each.  cqrs.sift() asks the catalog what the target demands and
-- takes out what it would refuse, cqrs.duplicates() finds what it has already; what
-- is left goes into the target at once.  If that is refused all the same,
-- cqrs.store() halves it.

-- Whether an error is the fault of the data: what the daemon's writer_verdict() says, too.
CREATE FUNCTION cqrs.is_refusal(state text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT state ~ '^(22|23|44|54|P0001)' OR state !~ '^(0|2|3|40|42|5|7|F0|HV|P0|XX)'
$$;

DROP FUNCTION cqrs.store(text, integer, integer);

-- Runs `insert_sql`, which stores the staged rows $1 <= cqrs_n < $2, and where
-- the database refuses some of them, halves the range until it is known which.
-- A row of the answer has either `stored`, or the refused row and why.
CREATE FUNCTION cqrs.store(stage text, insert_sql text, low integer, high integer)
RETURNS TABLE (stored bigint, refused integer, state text, reason text) LANGUAGE plpgsql AS $$
DECLARE
    middle integer := low + (high - low) / 2;
BEGIN
    BEGIN
        EXECUTE insert_sql USING low, high;
        GET DIAGNOSTICS stored = ROW_COUNT;
        RETURN NEXT;
        RETURN;
    EXCEPTION WHEN OTHERS THEN
        IF NOT cqrs.is_refusal(SQLSTATE) THEN
            RAISE;
        END IF;
        stored := NULL;
        refused := low;
        state := SQLSTATE;
        reason := SQLERRM;
    END;
    IF high - low <= 1 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    -- Not before it is needed: without an index the stage is filled much quicker.
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (cqrs_n)', stage || '_n', stage);
    RETURN QUERY SELECT * FROM cqrs.store(stage, insert_sql, low, middle);
    RETURN QUERY SELECT * FROM cqrs.store(stage, insert_sql, middle, high);
END
$$;

-- The columns that a stage and its target share.  `value` is what the target
-- will have: an expression that cannot fail, or NULL if there is none for these
-- two types.  `narrow` holds where the target's type has no room.
CREATE FUNCTION cqrs.sift_columns(stage regclass, target regclass)
RETURNS TABLE (name text, is_required boolean, value text, narrow text, state text, reason text)
LANGUAGE sql STABLE AS $$
    SELECT c.attname, c.attnotnull,
        CASE
            WHEN c.given = c.wanted AND c.wanted <> 'numeric'::regtype OR c.cast_is_safe
                THEN format('%I::%s', c.attname, format_type(c.wanted, c.mod))
            WHEN c.wanted = 'numeric'::regtype AND c.is_number
                THEN CASE WHEN c.mod < 4 THEN format('%I::numeric', c.attname)
                     ELSE format('round(%I::numeric, %s)', c.attname, c.scale) END
            WHEN c.narrow IS NOT NULL AND c.is_number
                THEN format('CASE WHEN %s THEN NULL ELSE %I::%s END', c.narrow, c.attname, c.wanted)
        END || CASE WHEN c.attcollation IN (0, 100) THEN '' ELSE ' COLLATE ' || c.attcollation::regcollation END,
        c.narrow,
        CASE WHEN c.is_number THEN '22003' ELSE '22001' END,
        CASE
            WHEN c.wanted = 'numeric'::regtype THEN 'numeric field overflow'
            WHEN c.wanted = 'real'::regtype THEN 'value out of range: overflow'
            WHEN c.is_number THEN c.wanted || ' out of range'
            ELSE 'value too long for type ' || format_type(c.wanted, c.mod)
        END
    FROM (
        SELECT t.*,
            (t.given::text, t.wanted::text) IN (
                ('text', 'character varying'), ('text', 'character'),
                ('smallint', 'integer'), ('smallint', 'bigint'), ('integer', 'bigint'),
                ('smallint', 'real'), ('smallint', 'double precision'), ('integer', 'real'),
                ('integer', 'double precision'), ('bigint', 'real'), ('bigint', 'double precision'),
                ('real', 'double precision')) AS cast_is_safe,
            CASE
                WHEN t.wanted = 'numeric'::regtype AND t.is_number AND t.mod >= 4
                    THEN format('abs(round(%1$I::numeric, %2$s)) >= 1e%3$s AND %1$I::numeric <> ''NaN''',
                        t.attname, t.scale, ((t.mod - 4) >> 16) - t.scale)
                WHEN t.wanted = 'smallint'::regtype AND t.given IN ('integer'::regtype, 'bigint'::regtype)
                    THEN format('%I NOT BETWEEN -32768 AND 32767', t.attname)
                WHEN t.wanted = 'integer'::regtype AND t.given = 'bigint'::regtype
                    THEN format('%I NOT BETWEEN -2147483648 AND 2147483647', t.attname)
                -- Half a unit above the largest real, where rounding overflows.
                WHEN t.wanted = 'real'::regtype AND t.given = 'double precision'::regtype
                    THEN format('abs(%1$I) >= 3.4028235677973366e38 AND %1$I NOT IN '
                        '(''NaN'', ''Infinity'', ''-Infinity'')', t.attname)
                -- Spaces that are too many are cut off and no error.
                WHEN t.wanted IN ('character varying'::regtype, 'character'::regtype) AND t.mod >= 4
                    AND t.given = 'text'::regtype
                    THEN format('length(rtrim(%I, '' '')) > %s', t.attname, t.mod - 4)
            END AS narrow
        FROM (
            SELECT b.*, (((b.mod - 4) & 2047) # 1024) - 1024 AS scale,
                b.given IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype,
                    'real'::regtype, 'double precision'::regtype) AS is_number
            FROM (
                SELECT a.attname, a.attnotnull, a.attcollation, s.atttypid::regtype AS given,
                    (CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE a.atttypid END)::regtype AS wanted,
                    CASE WHEN d.typtype = 'd' THEN d.typtypmod ELSE a.atttypmod END AS mod
                FROM pg_attribute s
                JOIN pg_attribute a ON a.attrelid = target AND a.attname = s.attname
                JOIN pg_type d ON d.oid = a.atttypid
                WHERE s.attrelid = stage AND s.attnum > 0 AND a.attnum > 0
            ) AS b
        ) AS t
    ) AS c
$$;

-- A condition on `known` columns that holds where `target` has no partition for
-- a row; NULL: it always has, or only trying tells.
CREATE FUNCTION cqrs.sift_partition(target regclass, known text[]) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    key text;
    range regtype;
    multirange regtype;
    bounds text;
    covered text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = target) OR EXISTS (
        SELECT FROM pg_partition_tree(target) t
        JOIN pg_partitioned_table p ON p.partrelid = t.relid
        CROSS JOIN unnest(p.partattrs) AS k (attnum)
        LEFT JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnum = k.attnum AND k.attnum > 0
        WHERE a.attname IS NULL OR a.attname <> ALL (known))
    THEN
        RETURN NULL;
    END IF;
    -- Ranges of one column, as time series have them, are looked up as one multirange.
    SELECT a.attname, r.rngtypid, r.rngmultitypid INTO key, range, multirange
    FROM pg_partitioned_table p
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    JOIN pg_range r ON r.rngsubtype = a.atttypid AND r.rngtypid < 16384
    WHERE p.partrelid = target AND p.partstrat = 'r' AND p.partnatts = 1 AND p.partdefid = 0
        AND NOT EXISTS (SELECT FROM pg_partition_tree(target) WHERE level = 1 AND NOT isleaf);
    IF FOUND THEN
        SELECT string_agg(format('(%s(%s, %s))', range, nullif(b.bound[1], 'MINVALUE'), nullif(b.bound[2], 'MAXVALUE')), ', ')
        INTO bounds
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
            '^FOR VALUES FROM \((.*)\) TO \((.*)\)$') AS bound) AS b
        WHERE i.inhparent = target;
        EXECUTE format('SELECT range_agg(part)::text FROM (VALUES %s) AS t (part)',
            coalesce(replace(replace(bounds, '(, ', '(NULL, '), ', ))', ', NULL))'), format('(NULL::%s)', range)))
            INTO covered;
        RETURN format('NOT coalesce(%L::%s @> %I, false)', coalesce(covered, '{}'), multirange, key);
    END IF;
    SELECT CASE WHEN count(*) <= 64 AND count(*) = count(d.def)
        THEN format('NOT coalesce(%s, false)', string_agg(d.def, ' OR ')) END
    INTO covered
    FROM pg_partition_tree(target) t
    CROSS JOIN LATERAL (SELECT pg_get_partition_constraintdef(t.relid) AS def) AS d
    WHERE t.isleaf;
    RETURN covered;
END
$$;

-- What can be said of a row alone, in the order in which PostgreSQL looks at it.
CREATE FUNCTION cqrs.sift_rules(stage regclass, target regclass)
RETURNS TABLE (violated text, state text, reason text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    relation text := (SELECT relname FROM pg_class WHERE oid = target);
    known text[] := (SELECT array_agg(c.name) FROM cqrs.sift_columns(stage, target) c WHERE c.value IS NOT NULL);
BEGIN
    RETURN QUERY SELECT format('cqrs_narrow = %L', c.name), c.state, c.reason
        FROM cqrs.sift_columns(stage, target) c WHERE c.narrow IS NOT NULL;
    RETURN QUERY SELECT cqrs.sift_partition(target, known), '23514',
        format('no partition of relation "%s" found for row', relation);
    RETURN QUERY SELECT format('%I IS NULL', c.name), '23502',
        format('null value in column "%s" of relation "%s" violates not-null constraint', c.name, relation)
        FROM cqrs.sift_columns(stage, target) c WHERE c.is_required;
    RETURN QUERY SELECT format('(%s) IS FALSE', pg_get_expr(k.conbin, k.conrelid)), '23514',
        format('new row for relation "%s" violates check constraint "%s"', relation, k.conname)
        FROM pg_constraint k
        WHERE k.conrelid = target AND k.contype = 'c' AND k.conkey IS NOT NULL AND NOT EXISTS (
            SELECT FROM unnest(k.conkey) AS c (attnum)
            LEFT JOIN pg_attribute a ON a.attrelid = target AND a.attnum = c.attnum AND c.attnum > 0
            WHERE a.attname IS NULL OR a.attname <> ALL (known))
        ORDER BY k.conname;
END
$$;

-- The staged rows as the target will have them.  `cqrs_narrow` names the first
-- column whose value has no room in it.
CREATE FUNCTION cqrs.sift_view(stage regclass, target regclass) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('SELECT cqrs_n, %s AS cqrs_narrow, %s FROM %s',
        coalesce('CASE ' || string_agg(format('WHEN %s THEN %L', c.narrow, c.name), ' ')
            FILTER (WHERE c.narrow IS NOT NULL) || ' END', 'NULL::text'),
        string_agg(format('%s AS %I', coalesce(c.value, quote_ident(c.name)), c.name), ', '), stage)
    FROM cqrs.sift_columns(stage, target) c
$$;

-- Takes the rows out of the stage for which one of the conditions holds; the
-- first one that does is why.  What cannot be asked (a check that raises, a table
-- that we may not read) is left for the database to say, unless it must be.
CREATE FUNCTION cqrs.sift_out(
    stage regclass, view text, violated text[], states text[], reasons text[], must boolean
) RETURNS TABLE (refused integer, state text, reason text) LANGUAGE plpgsql AS $$
DECLARE
    condition text := violated[1];
    rule text := '1';
    numbers integer[];
    rules integer[];
BEGIN
    IF cardinality(violated) > 1 THEN
        rule := format('CASE %s END', (SELECT string_agg(format('WHEN %s THEN %s', v.condition, v.n), ' ' ORDER BY v.n)
            FROM unnest(violated) WITH ORDINALITY AS v (condition, n)));
        condition := rule || ' IS NOT NULL';
    END IF;
    BEGIN
        EXECUTE format('SELECT array_agg(cqrs_n), array_agg(%s) FROM (%s) AS staged WHERE %s', rule, view, condition)
            INTO numbers, rules;
    EXCEPTION WHEN OTHERS THEN
        IF must OR NOT (cqrs.is_refusal(SQLSTATE) OR SQLSTATE ~ '^42') THEN
            RAISE;
        END IF;
        FOR i IN 1 .. CASE WHEN cardinality(violated) > 1 THEN cardinality(violated) ELSE 0 END LOOP
            RETURN QUERY SELECT * FROM cqrs.sift_out(stage, view, violated[i:i], states[i:i], reasons[i:i], false);
        END LOOP;
        RETURN;
    END;
    IF numbers IS NOT NULL THEN
        EXECUTE format('DELETE FROM %s WHERE cqrs_n = ANY ($1)', stage) USING numbers;
        RETURN QUERY SELECT u.n, states[u.rule], reasons[u.rule] FROM unnest(numbers, rules) AS u (n, rule);
    END IF;
END
$$;

-- The foreign keys of a target, and what they are about, that its stage has all the columns of.
CREATE FUNCTION cqrs.sift_references(stage regclass, target regclass)
RETURNS TABLE (columns text[], other regclass, other_columns text[], reason text)
LANGUAGE sql STABLE AS $$
    SELECT k.columns, k.other, k.other_columns,
        format('insert or update on table "%s" violates foreign key constraint "%s"', k.relname, k.conname)
    FROM (
        SELECT f.conname, r.relname, f.confrelid::regclass AS other,
            array_agg(a.attname::text ORDER BY c.n) AS columns, array_agg(b.attname::text ORDER BY c.n) AS other_columns
        FROM pg_constraint f
        JOIN pg_class r ON r.oid = f.conrelid
        CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY AS c (attnum, other, n)
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = c.attnum
        JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = c.other
        WHERE f.conrelid = target AND f.contype = 'f' AND (f.confmatchtype = 's' OR cardinality(f.conkey) = 1)
            -- Whoever has disabled it does not want it.
            AND current_setting('session_replication_role') <> 'replica' AND NOT EXISTS (
                SELECT FROM pg_trigger t WHERE t.tgrelid = target AND t.tgconstraint = f.oid AND t.tgenabled = 'D')
        GROUP BY f.oid, f.conname, r.relname, f.confrelid
    ) AS k
    WHERE k.columns <@ (SELECT array_agg(c.name) FROM cqrs.sift_columns(stage, target) c WHERE c.value IS NOT NULL)
$$;

-- "a.x = b.y AND …"
CREATE FUNCTION cqrs.sift_equal(a text, a_columns text[], b text, b_columns text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(format('%s.%I = %s.%I', a, c.x, b, c.y), ' AND ') FROM unnest(a_columns, b_columns) AS c (x, y)
$$;

-- Holds for a staged row that refers to nothing in `other`, nor in the staged rows
-- `siblings`, if any; a null refers to nothing that must be there.  Each value is
-- looked up once, and by index: without OFFSET a large `other` might be read whole.
CREATE FUNCTION cqrs.sift_orphans(view text, columns text[], other regclass, other_columns text[], siblings text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format('(%1$s) IN (SELECT %1$s FROM (SELECT DISTINCT %1$s FROM (%2$s) AS v) AS named'
            ' WHERE NOT EXISTS (SELECT FROM %3$s AS other WHERE %4$s OFFSET 0)%5$s)',
        string_agg(quote_ident(c.name), ', '), view, other, cqrs.sift_equal('other', other_columns, 'named', columns),
        ' AND NOT EXISTS (SELECT FROM (' || siblings || ') AS sibling WHERE '
            || cqrs.sift_equal('sibling', other_columns, 'named', columns) || ')')
    FROM unnest(columns) AS c (name)
$$;

-- Whether the catalog says all there is to say: a trigger may make a good row of a
-- bad one, and a view is whatever it wants to be.
CREATE FUNCTION cqrs.sift_is_plain(target regclass) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_class WHERE oid = target AND relkind IN ('r', 'p')) AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgtype & 7 = 7 AND tgenabled <> 'D' AND tgname <> 'ts_insert_blocker' -- of every hypertable
            AND tgrelid IN (SELECT target UNION ALL SELECT relid FROM pg_partition_tree(target)))
$$;

-- Sifts the stages cqrs_stage_N, whose rows are to go into `targets`, in the same
-- order.  The ref_ arrays are references that no foreign key knows of.  What refers
-- to a row of the same batch is no orphan.
CREATE FUNCTION cqrs.sift(
    tables integer[], targets regclass[],
    ref_tables integer[], ref_columns text[], ref_others text[], ref_other_columns text[], ref_reasons text[]
) RETURNS TABLE (cqrs_table integer, refused integer, state text, reason text) LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    stages regclass[] := ARRAY(SELECT format('pg_temp.cqrs_stage_%s', t.n)::regclass FROM unnest(tables) AS t (n));
    views text[] := ARRAY(SELECT cqrs.sift_view(s.stage, s.target) FROM unnest(stages, targets) AS s (stage, target));
    rules record;
    link record;
    sibling integer;
    again boolean := true;
BEGIN
    FOR i IN 1 .. cardinality(tables) LOOP
        SELECT array_agg(r.violated) AS violated, array_agg(r.state) AS states, array_agg(r.reason) AS reasons INTO rules
            FROM cqrs.sift_rules(stages[i], targets[i]) r WHERE r.violated IS NOT NULL AND cqrs.sift_is_plain(targets[i]);
        CONTINUE WHEN rules.violated IS NULL;
        RETURN QUERY SELECT tables[i], o.*
            FROM cqrs.sift_out(stages[i], views[i], rules.violated, rules.states, rules.reasons, false) o;
    END LOOP;
    -- Who referred to what is taken out is an orphan then.
    WHILE again LOOP
        again := false;
        FOR link IN
            SELECT t.i, f.*, false AS must
            FROM generate_subscripts(tables, 1) AS t (i)
            CROSS JOIN LATERAL cqrs.sift_references(stages[t.i], targets[t.i]) f
            WHERE cqrs.sift_is_plain(targets[t.i])
            UNION ALL
            SELECT array_position(tables, r.n), ARRAY[r.col], r.other::regclass, ARRAY[r.other_col],
                r.reason, true
            FROM unnest(ref_tables, ref_columns, ref_others, ref_other_columns, ref_reasons)
                AS r (n, col, other, other_col, reason)
        LOOP
            sibling := array_position(targets, link.other);
            IF NOT link.other_columns <@ ARRAY(SELECT c.name FROM cqrs.sift_columns(stages[sibling], targets[sibling]) c) THEN
                sibling := NULL; -- the column is not staged: the database makes it
            END IF;
            RETURN QUERY SELECT tables[link.i], o.* FROM cqrs.sift_out(stages[link.i], views[link.i],
                ARRAY[cqrs.sift_orphans(views[link.i], link.columns, link.other, link.other_columns, views[sibling])],
                ARRAY['23503'], ARRAY[link.reason], link.must) o;
            again := again OR FOUND AND link.other = ANY (targets);
        END LOOP;
    END LOOP;
END
$$;

-- Whether `target` has a row with the key of the staged row: a condition for each
-- unique index whose columns are staged, and which we may read.  Where rows are
-- partitioned by a column of the key, only the partitions that `view` is about are
-- looked at.
CREATE FUNCTION cqrs.sift_known(stage regclass, target regclass, view text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    named text[] := ARRAY(SELECT c.name FROM cqrs.sift_columns(stage, target) c WHERE c.value IS NOT NULL);
    parted text[] := ARRAY(
        SELECT a.attname::text FROM pg_partitioned_table p
        JOIN pg_attribute a ON a.attrelid = target AND a.attnum = ANY (p.partattrs::int2[])
        WHERE p.partrelid = target AND p.partstrat = 'r');
    bounds text := '';
    name text;
    bound text;
BEGIN
    FOREACH name IN ARRAY parted LOOP
        CONTINUE WHEN name <> ALL (named);
        EXECUTE format('SELECT format('' AND other.%%I BETWEEN %%L AND %%L'', %L, min(%I), max(%I)) FROM (%s) AS staged',
            name, name, name, view) INTO bound;
        bounds := bounds || bound;
    END LOOP;
    RETURN (
        SELECT string_agg(format('EXISTS (SELECT FROM %s AS other WHERE %s%s OFFSET 0)', target,
            cqrs.sift_equal('other', k.columns, 'staged', k.columns),
            CASE WHEN parted <@ k.columns THEN bounds ELSE '' END), ' OR ')
        FROM (
            SELECT array_agg(a.attname::text ORDER BY c.n) AS columns
            FROM pg_index i
            CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS c (attnum, n)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.attnum
            WHERE i.indrelid = target AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL AND c.n <= i.indnkeyatts
            GROUP BY i.indexrelid
            HAVING bool_and(has_column_privilege(target, a.attnum, 'SELECT'))
        ) AS k
        WHERE k.columns <@ named
    );
END
$$;

-- The staged rows whose key `targets` have already.
CREATE FUNCTION cqrs.duplicates(tables integer[], targets regclass[])
RETURNS TABLE (cqrs_table integer, duplicate integer) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    stage regclass;
    view text;
    known text;
BEGIN
    FOR i IN 1 .. cardinality(tables) LOOP
        CONTINUE WHEN NOT cqrs.sift_is_plain(targets[i]);
        stage := format('pg_temp.cqrs_stage_%s', tables[i])::regclass;
        view := cqrs.sift_view(stage, targets[i]);
        known := cqrs.sift_known(stage, targets[i], view);
        CONTINUE WHEN known IS NULL;
        RETURN QUERY EXECUTE format('SELECT %s, cqrs_n FROM (%s) AS staged WHERE cqrs_narrow IS NULL AND (%s)',
            tables[i], view, known);
    END LOOP;
END
$$;
