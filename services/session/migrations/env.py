"""How Alembic runs our migrations: on the connection, and in the transaction, it is given."""

from alembic import context

from services.session.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
