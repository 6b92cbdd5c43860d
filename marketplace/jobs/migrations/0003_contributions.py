"""Jobs of parties that are not online together: contributions, and the total of those that were frozen.

The trigger guards against mistakes: a contribution that was taken is never changed or deleted.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_initial'),
        ('participants', '0003_renewal'),
        ('provenance', '0002_log'),
    ]

    operations = [
        migrations.CreateModel(
            name='Total',
            fields=[
                ('job', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='total', serialize=False, to='jobs.job')),
                ('product', models.BinaryField(null=True)),
                ('product_hash', models.CharField(blank=True, max_length=64)),
                ('frozen', models.JSONField(null=True)),
            ],
        ),
        migrations.AlterField(
            model_name='job',
            name='state',
            field=models.CharField(choices=[('queued', 'queued'), ('offered', 'offered'), ('ready', 'ready'), ('running', 'running'), ('collecting', 'collecting'), ('closing', 'closing'), ('released', 'released'), ('settled', 'settled'), ('refused', 'refused'), ('failed', 'failed'), ('cancelled', 'cancelled'), ('expired', 'expired')], max_length=16),
        ),
        migrations.CreateModel(
            name='Contribution',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seat', models.SmallIntegerField()),
                ('document', models.JSONField()),
                ('document_hash', models.CharField(max_length=64)),
                ('ciphertexts', models.BinaryField()),
                ('at', models.DateTimeField()),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='contributions', to='jobs.job')),
                ('participant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='participants.participant')),
            ],
            options={
                'ordering': ('seat',),
                'constraints': [models.UniqueConstraint(fields=('job', 'participant'), name='contribution_once')],
            },
        ),
        migrations.RunSQL(
            "CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON jobs_contribution "
            "FOR EACH ROW EXECUTE FUNCTION provenance_refuse();",
            "DROP TRIGGER kept ON jobs_contribution;",
        ),
    ]
