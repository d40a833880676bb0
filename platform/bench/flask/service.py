"""The service that the benchmark compares with: Flask and psycopg2 at their best.

Each thread keeps its connection to the database; gunicorn keeps those of clients.
"""

import os
import threading

import psycopg2
import psycopg2.extras
from flask import Flask, jsonify

app = Flask(__name__)
thread = threading.local()


def database():
    if not hasattr(thread, "connection"):
        thread.connection = psycopg2.connect(os.environ["DATABASE_URL"], cursor_factory=psycopg2.extras.RealDictCursor)
        thread.connection.autocommit = True
    return thread.connection


@app.get("/v1/customers/<int:customer_id>")
def customer(customer_id):
    with database().cursor() as cursor:
        cursor.execute(
            "SELECT customer_id, customer_name, email, phone, region, segment, revenue, created_at, updated_at"
            "  FROM customers WHERE customer_id = %s",
            (customer_id,),
        )
        found = cursor.fetchone()
    if found is None:
        return jsonify(error="not found"), 404
    return jsonify(found)
