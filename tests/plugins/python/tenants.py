"""A plugin that answers with the tenants of a database, on FastAPI and psycopg2, as an article describes it.

Only its address, its port and where its token comes from are others: the command line. Where its database cannot be
reached it answers an empty list, as there.
"""

import os
import sys
from typing import Dict, List

import psycopg2
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg2.extras import RealDictCursor

with open(sys.argv[1]) as file:
    PLUGIN_TOKEN = file.read().strip()

DB_PARAMS = {
    "dbname": os.getenv("DB_NAME", "organization"),
    "user": os.getenv("DB_USER", "postgres"),
    "host": os.getenv("DB_HOST", "localhost"),
    "port": os.getenv("DB_PORT", "5432"),
}

app = FastAPI()
security = HTTPBearer()


async def query_postgres() -> List[Dict[str, str]]:
    try:
        conn = psycopg2.connect(**DB_PARAMS)
        with conn.cursor(cursor_factory=RealDictCursor) as cur:
            cur.execute("SELECT tenant, status FROM organization")
            rows = cur.fetchall()
        conn.close()
        return [dict(row) for row in rows]
    except Exception as e:
        print(f"Database error: {e}")
        return []


def verify_token(credentials: HTTPAuthorizationCredentials = Security(security)):
    if credentials.scheme != "Bearer" or credentials.credentials != PLUGIN_TOKEN:
        raise HTTPException(status_code=403, detail="Invalid or missing token")
    return credentials


@app.post("/api/v1/getparams.execute")
async def get_params_execute(credentials: HTTPAuthorizationCredentials = Depends(verify_token)):
    tenants = await query_postgres()
    return {"output": {"parameters": tenants}}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]))
