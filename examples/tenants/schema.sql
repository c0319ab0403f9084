-- Tenants and their state, for PostgreSQL and for SQLite.
CREATE TABLE organization (
    tenant TEXT PRIMARY KEY,
    status TEXT NOT NULL
);

INSERT INTO organization (tenant, status) VALUES
    ('Acme Corp', 'active'),
    ('Gamma Industries', 'trial');
