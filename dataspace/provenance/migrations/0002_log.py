"""The log as a public, witnessed one: commitments as leaves, several notes a size, cosignatures; and the triggers by
which the database itself keeps the past as it was.

The triggers guard against mistakes and against a hand in the tables; whoever owns the database can drop them, and is
found out by witnesses, chain and `ledger fsck`. Emptying whole tables is for tests, which say so:
`SET xinglin.may_truncate = 'on'`.
"""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ON = """
CREATE FUNCTION provenance_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % is never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION provenance_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('xinglin.may_truncate', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION '% is never emptied', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION provenance_tile_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.level <> OLD.level OR NEW.position <> OLD.position OR octet_length(OLD.data) >= 8192
       OR octet_length(NEW.data) > 8192 OR octet_length(NEW.data) <= octet_length(OLD.data)
       OR substring(NEW.data FOR octet_length(OLD.data)) <> OLD.data THEN
        RAISE EXCEPTION 'tile %/% only grows, and a full one never changes', OLD.level, OLD.position
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION provenance_published_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NOT NULL OR NEW.published_at IS NULL
       OR (NEW.id, NEW.size, NEW.root, NEW.note, NEW.at, NEW.names_id)
          IS DISTINCT FROM (OLD.id, OLD.size, OLD.root, OLD.note, OLD.at, OLD.names_id) THEN
        RAISE EXCEPTION 'a checkpoint is published once and otherwise never changed'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION provenance_owe() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO provenance_delivery (event_id, follower, urgent) SELECT number, 'log', urgent FROM fresh;
    RETURN NULL;
END $$;

CREATE TRIGGER owe AFTER INSERT ON provenance_event REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION provenance_owe();
CREATE TRIGGER grows BEFORE UPDATE ON provenance_tile FOR EACH ROW EXECUTE FUNCTION provenance_tile_grows();
CREATE TRIGGER kept BEFORE DELETE ON provenance_tile FOR EACH ROW EXECUTE FUNCTION provenance_refuse();
CREATE TRIGGER published BEFORE UPDATE ON provenance_checkpoint
    FOR EACH ROW EXECUTE FUNCTION provenance_published_once();
CREATE TRIGGER kept BEFORE DELETE ON provenance_checkpoint FOR EACH ROW EXECUTE FUNCTION provenance_refuse();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON provenance_event FOR EACH ROW EXECUTE FUNCTION provenance_refuse();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON provenance_leaf FOR EACH ROW EXECUTE FUNCTION provenance_refuse();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON provenance_cosignature
    FOR EACH ROW EXECUTE FUNCTION provenance_refuse();
""" + "\n".join(
    f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON provenance_{table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION provenance_refuse_truncate();"
    for table in ("event", "leaf", "tile", "checkpoint", "cosignature")
)
OFF = """
DROP FUNCTION provenance_refuse, provenance_refuse_truncate, provenance_tile_grows, provenance_published_once,
    provenance_owe CASCADE;
"""


def refuse_an_old_log(apps: Apps, schema: BaseDatabaseSchemaEditor) -> None:
    """A log of the first form cannot become one of this form: its anchored roots say otherwise."""
    if apps.get_model("provenance", "Event").objects.exists():
        raise RuntimeError("this space's log has the form of before the first release; begin with --fresh")


class Migration(migrations.Migration):
    dependencies = [("provenance", "0001_initial")]

    operations = [
        migrations.RunPython(refuse_an_old_log, migrations.RunPython.noop),
        migrations.DeleteModel("Anchor"),
        migrations.DeleteModel("Checkpoint"),
        migrations.RemoveIndex("delivery", "delivery_owed"),
        migrations.RemoveField("delivery", "done_at"),
        migrations.AddField("delivery", "urgent", models.BooleanField(default=False)),
        migrations.AddIndex("delivery", models.Index(fields=["follower", "-urgent", "event"], name="delivery_owed")),
        migrations.AddField(
            "event", "commitment", models.CharField(max_length=64, default=""), preserve_default=False
        ),
        migrations.AddField("event", "key", models.CharField(max_length=160, null=True, unique=True)),
        migrations.AddField("event", "urgent", models.BooleanField(default=False)),
        migrations.AddIndex("leaf", models.Index(fields=["hash"], name="leaf_hash")),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("size", models.BigIntegerField()),
                ("root", models.CharField(max_length=64)),
                ("note", models.TextField()),
                ("at", models.DateTimeField()),
                ("published_at", models.DateTimeField(null=True)),
            ],
            options={"ordering": ("id",)},
        ),
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("size", models.BigIntegerField()),
                ("prev_size", models.BigIntegerField()),
                ("epoch", models.CharField(max_length=64)),
                ("lost_at", models.DateTimeField(null=True)),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="anchors",
                        to="provenance.checkpoint",
                    ),
                ),
                (
                    "tx",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="anchor", to="provenance.chaintx"
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["epoch", "size"], name="anchor_epoch")]},
        ),
        migrations.AddField(
            "checkpoint",
            "names",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="named_by",
                to="provenance.anchor",
            ),
        ),
        migrations.AddIndex("checkpoint", models.Index(fields=["size", "id"], name="checkpoint_size")),
        migrations.AddIndex(
            "checkpoint",
            models.Index(
                condition=models.Q(("published_at__isnull", False)), fields=["id"], name="checkpoint_published"
            ),
        ),
        migrations.CreateModel(
            name="Cosignature",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=64)),
                ("line", models.CharField(max_length=800)),
                ("at", models.DateTimeField()),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cosignatures",
                        to="provenance.checkpoint",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("checkpoint", "key"), name="cosignature_once")]
            },
        ),
        migrations.CreateModel(
            name="WitnessSeen",
            fields=[
                ("url", models.CharField(max_length=300, primary_key=True, serialize=False)),
                ("key", models.CharField(blank=True, max_length=64)),
                ("size", models.BigIntegerField(default=0)),
                ("answered_at", models.DateTimeField(null=True)),
                ("cosigned_at", models.DateTimeField(null=True)),
                ("code", models.CharField(blank=True, max_length=64)),
            ],
        ),
        migrations.RunSQL(ON, OFF),
    ]
