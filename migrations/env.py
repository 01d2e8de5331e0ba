"""Alembic's environment: runs on the connection it is handed, inside that connection's transaction."""

from alembic import context

connection = context.config.attributes["connection"]
schema = None if connection.dialect.name == "sqlite" else "aura_ops"
# IF NOT EXISTS asks for the right to create schemas even where an administrator has made it for us
if schema and connection.exec_driver_sql("SELECT to_regnamespace('aura_ops')").scalar() is None:
    connection.exec_driver_sql("CREATE SCHEMA aura_ops")
context.configure(connection=connection, version_table="aura_version", version_table_schema=schema, transactional_ddl=False)
context.run_migrations()
