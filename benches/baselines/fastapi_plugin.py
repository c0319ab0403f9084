"""A plugin on FastAPI and uvicorn, as a baseline.

The one that it is modelled on reads its answer from PostgreSQL with every question; here the answer is a constant.
"""

import sys

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

with open(sys.argv[1]) as file:
    PLUGIN_TOKEN = file.read().strip()

TENANTS = [
    {"tenant": "Acme Corp", "status": "active"},
    {"tenant": "Gamma Industries", "status": "trial"},
]

app = FastAPI()
security = HTTPBearer()


def verify_token(credentials: HTTPAuthorizationCredentials = Security(security)):
    if credentials.scheme != "Bearer" or credentials.credentials != PLUGIN_TOKEN:
        raise HTTPException(status_code=403, detail="Invalid or missing token")
    return credentials


@app.post("/api/v1/getparams.execute")
async def get_params_execute(credentials: HTTPAuthorizationCredentials = Depends(verify_token)):
    return {"output": {"parameters": TENANTS}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]))
