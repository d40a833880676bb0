"""Reach the data mesh from a notebook, as the person whose notebook it is.

    import meesh

    meesh.query("SHOW CATALOGS")            # a DataFrame
    meesh.product("customer_journey")       # a data product, as a DataFrame
    meesh.connect()                         # a connection of trino.dbapi
    meesh.lake()                            # the object store: put, get, list
    meesh.database("sales")                 # a domain's PostgreSQL, if your group may: read-only, without personal columns

Nothing here holds a password or an address: JupyterHub gives each person's server what it needs, in the
environment. Plain clients work without this package:

    trino.dbapi.connect(host=os.environ["TRINO_HOST"], port=int(os.environ["TRINO_PORT"]), http_scheme="https",
                        auth=trino.auth.JWTAuthentication(os.environ["TRINO_TOKEN"]), verify=os.environ["TRINO_CA"])
    boto3.client("s3")
    dbt run                                 # in ~/dbt_projects
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import requests
import trino.auth
import trino.dbapi

if TYPE_CHECKING:
    import pandas
    import psycopg
    import sqlalchemy

__all__ = ["Lake", "connect", "database", "engine", "lake", "product", "query", "renew", "token"]

_RENEW_BEFORE = 600  # seconds before a token's end
_lock = threading.Lock()


class MeshError(RuntimeError):
    """Something of the mesh cannot be had; the message says what to do."""


def _environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise MeshError(f"{name} is not set: meesh works in a notebook that JupyterHub started") from None


def _expires(text: str) -> float:
    payload = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]


def token() -> str:
    """The token that says to Trino who you are; a new one shortly before its end."""
    with _lock:
        text = _environment("TRINO_TOKEN")
        return text if _expires(text) - time.time() > _RENEW_BEFORE else _renew()


def renew() -> str:
    """Get a new token from JupyterHub, also for programs started from this notebook, as dbt."""
    with _lock:
        return _renew()


def _renew() -> str:
    request = urllib.request.Request(
        _environment("JUPYTERHUB_API_URL") + "/trino-token", method="POST",
        headers={"Authorization": "token " + _environment("JUPYTERHUB_API_TOKEN")},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = json.load(answer)["token"]
    except OSError as e:
        raise MeshError(f"JupyterHub gives no new token ({e}); log in again, or try later") from e
    os.environ["TRINO_TOKEN"] = os.environ["DBT_ENV_SECRET_TRINO_TOKEN"] = text
    return text


class _Bearer(requests.auth.AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = "Bearer " + token()
        return request


class _Token(trino.auth.Authentication):
    """Sends the token as it is at the moment of a request, so that a connection may grow old."""

    def set_http_session(self, http_session: requests.Session) -> requests.Session:
        http_session.auth = _Bearer()
        return http_session

    def get_exceptions(self) -> tuple[Any, ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token)

    __hash__ = None


def connect(catalog: str | None = None, schema: str | None = None, **more: Any) -> trino.dbapi.Connection:
    """Connect to Trino as yourself.

    catalog, schema: where names without them are looked for.
    more: further arguments of trino.dbapi.connect.
    """
    return trino.dbapi.connect(
        host=_environment("TRINO_HOST"), port=int(_environment("TRINO_PORT")), user=_environment("TRINO_USER"),
        http_scheme="https", auth=_Token(), verify=_environment("TRINO_CA"),
        catalog=catalog, schema=schema, **{"source": "notebook", **more},
    )


def query(sql: str, parameters: list[Any] | None = None) -> pandas.DataFrame:
    """Ask Trino and get all rows as a DataFrame; ? in the statement stands for a parameter.

    Who interrupts the cell ends the query. Decimals become float64, as pandas and plots work with them.
    """
    import decimal

    import pandas

    with connect() as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(sql, parameters)
            rows = cursor.fetchall()
        except KeyboardInterrupt:  # else Trino works on for minutes, and counts it among your queries
            cursor.cancel()
            raise
        columns = [column[0] for column in cursor.description or []]
    frame = pandas.DataFrame(rows, columns=columns)
    for name in frame.columns:
        values = frame[name].dropna()
        if len(values) and isinstance(values.iloc[0], decimal.Decimal):
            frame[name] = frame[name].astype("float64")
    return frame


def engine(catalog: str | None = None, schema: str | None = None) -> sqlalchemy.Engine:
    """An engine of SQLAlchemy on Trino, for pandas.read_sql and whatever else takes one."""
    import sqlalchemy

    return sqlalchemy.create_engine("trino://", creator=lambda: connect(catalog, schema))


_PRODUCT = re.compile(r"[a-z][a-z0-9_]*")


def product(name: str) -> pandas.DataFrame:
    """A data product as a DataFrame: "customer_journey", or in full "mart_customer_journey".

    What there is: meesh.query("SHOW TABLES FROM sales_analytics.marts").
    """
    table = name if name.startswith("mart_") else "mart_" + name
    there = list(query("SHOW TABLES FROM sales_analytics.marts")["Table"])
    if not _PRODUCT.fullmatch(table) or table not in there:
        raise MeshError(f"no product is called {name!r}; there are: {', '.join(t.removeprefix('mart_') for t in there)}")
    return query(f"SELECT * FROM sales_analytics.marts.{table}")


class Lake:
    """The bucket datalake, with your own key: what you may read and write there is your group's (docs/security.md)."""

    bucket = "datalake"

    def __init__(self) -> None:
        import boto3

        _environment("AWS_ACCESS_KEY_ID")
        self.client = boto3.client("s3")

    def put(self, key: str, what: Any) -> str:
        """Write an object: bytes, the path of a file, or a DataFrame, which becomes Parquet. Gives its s3:// address."""
        import io

        if hasattr(what, "to_parquet"):
            buffer = io.BytesIO()
            # Trino's timestamps have milliseconds or microseconds, not nanoseconds.
            what.to_parquet(buffer, index=False, coerce_timestamps="us", allow_truncated_timestamps=True)
            what = buffer.getvalue()
        if isinstance(what, bytes):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=what)
        else:
            self.client.upload_file(os.fspath(what), self.bucket, key)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def list(self, prefix: str) -> list[str]:
        """The names of all objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", [])]

    def __repr__(self) -> str:
        return f"Lake(s3://{self.bucket} as {_environment('AWS_ACCESS_KEY_ID')})"


def lake() -> Lake:
    """The object store of the data lake."""
    return Lake()


def database(name: str) -> psycopg.Connection:
    """Connect to a domain's PostgreSQL as yourself, read-only and without personal columns.

    name: sales, sales_api, marketing, marketing_api or sales_analytics, as far as your group may. For questions
    across domains take Trino.
    """
    import psycopg

    there = json.loads(_environment("MESH_DATABASES"))
    if name not in there:
        yours = ", ".join(there) or "none"
        raise MeshError(f"you have no log-in to a database {name!r}; those that you have one to: {yours}")
    return psycopg.connect(**there[name], application_name="notebook of " + _environment("TRINO_USER"), connect_timeout=10)
