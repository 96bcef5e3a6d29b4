BEGIN TRANSACTION;
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    signed_s INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
INSERT INTO "checkpoint" VALUES(100,1790000100,'log.example/golden
100
ZfjQgnf7HJcbhgDrz3c3+x1/6D4CYpSg3Zugf7T0hPk=

— log.example/golden BLt57qLFInftljFjqy0gqqU3NYb5QlUx/VzSoWE8+BFWD6H8ltdDauJbPDuabstJYhOoOtiqMERQ8Cv5XdZFtphgHgg=
— witness.example/golden EKmN6gAAAABqsTvkMyLg2D+WB/P4WTGXZnuBzdp7Zw0fHkHfXe+s8rj+o+PnJl2GwKM39wmD6Jifa3Q8IOVGU8osqasEk+MlMMRyDA==
');
INSERT INTO "checkpoint" VALUES(258,1790000258,'log.example/golden
258
CQxDIOj0+OHvdkVhUnp52uvppT/HcRsFdhyeBd1a61g=

— log.example/golden BLt57hyO2usM0FpKr2MX3Ja2oJ8qk3eCTABQvvDh38NkJMlnhZlQpEhn3nx+ylmU1I3ht0PGctTOpwk8ab5lSivurgA=
— witness.example/golden EKmN6gAAAABqsTyCTny8nC7jo3jXU7Xd0Gx44sbatOsuziY1/LT2Alycl9jvL+Ca63rLkqpgII1agb9hRltH2q0WeqAqb+v5FeoMBA==
');
CREATE TABLE seen (witness TEXT PRIMARY KEY, size INTEGER NOT NULL, at_s INTEGER NOT NULL) STRICT;
INSERT INTO "seen" VALUES('witness.example/golden',258,1790000258);
COMMIT;
