"""Alembic's environment: runs on the connection it is handed, inside that connection's transaction."""

from alembic import context

connection = context.config.attributes["connection"]
schema = None if connection.dialect.name == "sqlite" else "aura_ops"
if schema:
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS aura_ops")
context.configure(connection=connection, version_table="aura_version", version_table_schema=schema, transactional_ddl=False)
context.run_migrations()
