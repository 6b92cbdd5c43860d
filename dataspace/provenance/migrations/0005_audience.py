"""The audience of an event as JSON: rows with array columns cannot be written in bulk at speed."""

import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("provenance", "0004_anchor_proof")]

    operations = [
        migrations.RemoveIndex("event", "event_audience"),
        migrations.RemoveField("event", "audience"),
        migrations.AddField("event", "audience", models.JSONField(default=list)),
        migrations.AddIndex(
            "event",
            django.contrib.postgres.indexes.GinIndex(
                fields=["audience"], name="event_audience", opclasses=["jsonb_path_ops"]
            ),
        ),
    ]
