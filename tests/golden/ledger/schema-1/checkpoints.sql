BEGIN TRANSACTION;
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    signed_s INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
INSERT INTO "checkpoint" VALUES(100,1790000100,'log.example/golden
100
c0TCSxu2No5kanNiahD4Yr6sTT/bdvijAXgBW2yamg0=

— log.example/golden vQGHT0UWe8wQ9XzbbjQW1bnrwcvD2X1wXsvRoyhXJtKhGiaPR2NqMk8wlcWzZjJ6sISW3N/yXne9zGkqtjf+NMTpcAE=
— witness.example/golden bqgQYAAAAABqsTvkhJUPJ9dluI7zuRYKjbbpEOCABkoxKsjI46hsnHp7uc5ogf84exG0QgAvS2zEqcBSBbKUGlTPz9XMQygSU7CzAQ==
');
INSERT INTO "checkpoint" VALUES(258,1790000258,'log.example/golden
258
dUIMoEjbDOUEUQG84xf91rapt33gz1x7KwCtTrCNN10=

— log.example/golden vQGHTzoHDX2ZiAcRZ9etjK9aQI6We0YMYbfV+/dXQhapIHDbkRrm6FjZ09hyJvw0S7xCltZZUxpwVDSyrxtTDpsHzQ0=
— witness.example/golden bqgQYAAAAABqsTyCk3yhpVXPJPoPq1WfeI6uCPzzilIlu2fBOwJT+Q8nMpnQuAEEFWYpEVBDM++0ztCh5hRKks+kLrhIowuKGld4Cg==
');
CREATE TABLE seen (witness TEXT PRIMARY KEY, size INTEGER NOT NULL, at_s INTEGER NOT NULL) STRICT;
INSERT INTO "seen" VALUES('witness.example/golden',258,1790000258);
COMMIT;
