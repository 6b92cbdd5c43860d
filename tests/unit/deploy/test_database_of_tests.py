import pytest
from django.db import connection


@pytest.mark.django_db
def test_it_works():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone()[0] == "test_portal"
