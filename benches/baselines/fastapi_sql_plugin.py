"""A tenants plugin on FastAPI, uvicorn and psycopg2, as a baseline: it connects and asks with every question.

It takes the file of its token, its port, and the database's port and name as arguments.
"""

import sys
from typing import Dict, List

import psycopg2
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg2.extras import RealDictCursor

with open(sys.argv[1]) as file:
    PLUGIN_TOKEN = file.read().strip()

DB_PARAMS = {"dbname": sys.argv[4], "user": "postgres", "host": "127.0.0.1", "port": sys.argv[3]}

app = FastAPI()
security = HTTPBearer()


async def query_postgres() -> List[Dict[str, str]]:
    try:
        connection = psycopg2.connect(**DB_PARAMS)
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("SELECT tenant, status FROM organization")
            rows = cursor.fetchall()
        connection.close()
        return [dict(row) for row in rows]
    except Exception as error:
        print(f"Database error: {error}")
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
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]))
