"""Whose part is not in the set any more, with the reason, and its signed withdrawal."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0003_contributions'),
    ]

    operations = [
        migrations.AddField(
            model_name='jobparty',
            name='left_out',
            field=models.CharField(blank=True, default='', max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='jobparty',
            name='withdrawal',
            field=models.JSONField(null=True),
        ),
    ]
