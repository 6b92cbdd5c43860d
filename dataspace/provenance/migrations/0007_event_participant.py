from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('provenance', '0006_hash_start'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['participant_id', 'number'], name='event_participant'),
        ),
    ]
