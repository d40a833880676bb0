"""JupyterHub of the mesh, on one machine and on Kubernetes.

Whatever differs comes from the environment, so this file holds no path, port or
secret of its own:

  MESH_HUB_SPAWNER     what a person's server is: "process" on one machine, "pod" on Kubernetes
  MESH_HUB_STATE       folder of the hub's own database
  MESH_HUB_ACCOUNTS    file of those who may log in; it is read again when it changes
  MESH_HUB_TOKEN_KEY   private key, PEM, that signs the people's tokens for Trino
  MESH_HUB_URL         where people come in: the proxy
  MESH_HUB_API_URL     where the hub itself listens;  MESH_HUB_CONNECT_URL: how servers reach it, if not there
  MESH_HUB_PROXY_URL   how the hub reaches the proxy
  MESH_HUB_IDLE        seconds after which a server that nobody uses is stopped
  MESH_HUB_LONGEST     seconds that a server may run at most; so long its token is good
  MESH_HUB_FILES       folder with what stands beside this file: python, lab
  MESH_HUB_LOGIN       file with another way to log in (oidc or ldap), see docs/operations.md; with "pod" it need not be there
  MESH_SERVER_*        what a person's server gets to know, see environment()
  AUDIT_URL, AUDIT_TOKEN   of the audit record, which is told who comes in and whose servers run; none: it is told nothing
  JPY_COOKIE_SECRET, CONFIGPROXY_AUTH_TOKEN   as JupyterHub and its proxy read them

"process" also reads:
  MESH_HUB_HOMES       folder of the people's home folders
  MESH_HUB_SPAWN       program that starts a server as a user of its own; empty: all run as the hub's user
  MESH_HUB_MARK        what the processes of this mesh are known by
  MESH_NOTEBOOK_ENVIRONMENT, MESH_DBT_ENVIRONMENT   Python environments
  MESH_NOTEBOOK_MEMORY bytes that one process of a person may take

"pod" also reads:
  MESH_NOTEBOOK_IMAGE  image of a person's server
  MESH_NOTEBOOK_CLAIM  volume with the people's home folders; each pod mounts that of its person alone. Empty:
                       a volume for each person, of MESH_NOTEBOOK_STORAGE and MESH_NOTEBOOK_STORAGE_CLASS
"""

import asyncio
import collections
import contextvars
import datetime
import hashlib
import hmac
import json
import logging
import os
import pathlib
import resource
import secrets
import sys
import time
import uuid

import jwt
from jupyterhub import orm, roles
from jupyterhub.apihandlers import APIHandler
from jupyterhub.auth import Authenticator
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.log import app_log

E = os.environ
IDLE, LONGEST = int(E["MESH_HUB_IDLE"]), int(E["MESH_HUB_LONGEST"])
FILES = pathlib.Path(E["MESH_HUB_FILES"])
TOKEN_KEY = pathlib.Path(E["MESH_HUB_TOKEN_KEY"]).read_text()

c = get_config()  # noqa: F821


# ---- the audit record ---------------------------------------------------------------------------


class Record:
    """Tells mesh-audit who did what, in order; nobody waits for it.

    While it is away events wait here, at most KEPT of them; what is not kept stands in the hub's log.
    """

    KEPT, PAUSE = 10_000, 2.0

    def __init__(self, url, token):
        self.url, self.headers = url, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.waiting, self.sender = collections.deque(), None

    def tell(self, who, action, outcome, address="", detail=""):
        if not self.url:
            return
        event = {
            "at": datetime.datetime.now(datetime.timezone.utc).isoformat(), "who": who, "tool": "hub", "action": action,
            "outcome": outcome, "from": address, "detail": detail, "id": str(uuid.uuid4()),
        }
        if len(self.waiting) >= self.KEPT:
            app_log.error("not in the audit record, too many wait: %s", event)
            return
        self.waiting.append(event)
        if self.sender is None or self.sender.done():
            self.sender = asyncio.get_running_loop().create_task(self.send())

    async def send(self):
        while self.waiting:
            try:
                await AsyncHTTPClient().fetch(
                    self.url + "/v1/events", method="POST", headers=self.headers, body=json.dumps(self.waiting[0]), request_timeout=5
                )
            except (OSError, HTTPClientError) as e:  # 599: no answer in time
                if isinstance(e, OSError) or e.code >= 500:
                    app_log.warning("the audit record is away, %d events wait: %s", len(self.waiting), e)
                    await asyncio.sleep(self.PAUSE)
                    continue
                app_log.error("not in the audit record: %s: %s", self.waiting[0], e)
            self.waiting.popleft()


RECORD = Record(E.get("AUDIT_URL", ""), E.get("AUDIT_TOKEN", ""))


# ---- people -------------------------------------------------------------------------------------


class Accounts:
    """The file of those who may log in, as it is now."""

    def __init__(self, path):
        self.path, self.stamp, self.people, self.former = path, None, {}, []

    def get(self):
        stat = os.stat(self.path)
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp != self.stamp:
            with open(self.path, encoding="utf-8") as f:
                file = json.load(f)
            self.people, self.former = file["people"], file.get("former", [])
            self.stamp = stamp
        return self.people

    def mark(self, name):
        """What changes when a person gets another password, or is another person of that name; None for nobody."""
        account = self.get().get(name)
        if account is None:
            return None
        return hashlib.sha256(f"{account['uid']} {account['password']['salt']}".encode()).hexdigest()[:16]

    def uid(self, name):
        """The user id of a person, also of one who left."""
        account = self.get().get(name)
        if account:
            return account["uid"]
        return [f["uid"] for f in self.former if f["name"] == name][-1]


ACCOUNTS = Accounts(E["MESH_HUB_ACCOUNTS"])

# A name that nobody has may be a password in the wrong field: neither the record nor the log gets it.
UNKNOWN = "(unknown)"
mistaken = contextvars.ContextVar("a name that nobody has", default="")


class WithoutMistakes(logging.Filter):
    """Takes a name that nobody has out of what is logged while it is looked at, shortened or in quotes too."""

    def filter(self, record):
        name = mistaken.get()
        if name:
            text = record.getMessage()
            for said in (name, name[:16]):
                for form in (said, repr(said)[1:-1]):
                    text = text.replace(form, UNKNOWN)
            record.msg, record.args = text, None
        return True


class Follower:
    """Makes the hub follow the accounts' file: who was removed has no server, session or token any more,
    whose account changed logs in anew, and who may administer is who does.

    For which account a user of the hub has sessions stands at the begin of their cookie_id, which is part
    of every session: so it is known after a restart too.
    """

    EVERY = 1.0

    def __init__(self, app):
        self.app, self.task, self.done, self.busy = app, None, None, {}

    @staticmethod
    def cookie_id(name):
        return f"{ACCOUNTS.mark(name)}.{secrets.token_hex(16)}"

    @staticmethod
    def fits(user):
        mark = ACCOUNTS.mark(user.name)
        return mark is not None and user.cookie_id.startswith(mark + ".")

    def begin(self):
        self.task = asyncio.get_running_loop().create_task(self.follow())

    async def follow(self):
        while True:
            await asyncio.sleep(self.EVERY)
            try:
                ACCOUNTS.get()
                if self.app.http_server is None or self.done == ACCOUNTS.stamp:  # before, it does not know which servers run
                    continue
                stamp = ACCOUNTS.stamp
                names = [name for (name,) in self.app.db.query(orm.User.name)]
                await asyncio.gather(*(self.bring(name) for name in names))
                self.done = stamp
            except Exception:  # comes again with the next round
                app_log.exception("the hub could not follow the list of people")

    async def bring(self, name):
        """Bring a user of the hub in line with their account."""
        async with self.busy.setdefault(name, asyncio.Lock()):
            user, account = self.app.users.get(name), ACCOUNTS.get().get(name)
            if user is None:
                return
            if not self.fits(user):
                await self.forget(user, account)
            elif user.admin != account["admin"]:
                user.admin = account["admin"]
                roles.assign_default_roles(self.app.db, entity=user.orm_user)
                self.app.db.commit()

    async def forget(self, user, account):
        """End all that somebody logged in as a user could use; account is what they are now, if anybody."""
        db = self.app.db
        app_log.info("%s %s: sessions, tokens and the server end", user.name, "has another password" if account else "was removed")
        user.cookie_id, user._auth_refreshed = orm.new_token(), None
        for kind in (orm.APIToken, orm.OAuthCode):
            for row in db.query(kind).filter(kind.user_id == user.id):
                db.delete(row)
        db.commit()
        while user.spawner.pending:
            await asyncio.sleep(0.2)
        if user.spawner.active:
            await self.app.proxy.delete_user(user, "")
            await user.stop("")
        if account:
            user.cookie_id = self.cookie_id(user.name)
            db.commit()
        else:
            await user.delete_spawners()
            self.app.users.delete(user)


class OfTheMesh:
    """Whoever says who somebody is, the mesh's list says whether they may come in."""

    FAILURES, PAUSE = 5, 60
    failures = {}  # name: number of wrong passwords in a row, time of the last
    trying = {}  # name: who compares a password of theirs now
    told = {}  # name: when the record was told last that its log-ins are paused

    def get_handlers(self, app):
        self.follower = Follower(app)
        self.follower.begin()
        app.log.addFilter(WithoutMistakes())
        return super().get_handlers(app)

    def check_allowed(self, username, auth_model):
        return username in ACCOUNTS.get()

    def add_user(self, user):
        # At its start the hub shows those of before, who may have sessions; a new one has none yet.
        if not isinstance(user, orm.User) and user.name in ACCOUNTS.get():
            user.cookie_id = Follower.cookie_id(user.name)
        return super().add_user(user)

    async def get_authenticated_user(self, handler, data):
        name = (data or {}).get("username", "")
        who = name if name in ACCOUNTS.get() else UNKNOWN
        mistaken.set(name if who is UNKNOWN else "")
        address = handler.request.remote_ip
        try:
            model = await super().get_authenticated_user(handler, data)
        except web.HTTPError as e:
            # Whoever goes on trying during a pause shall not fill the record.
            now = time.monotonic()
            if e.status_code != 429 or now - self.told.get(who, -self.PAUSE) >= self.PAUSE:
                RECORD.tell(who, "login", "refused", address, e.reason or str(e.status_code))
                if e.status_code == 429:
                    self.told[who] = now
            raise
        finally:
            if data and who is UNKNOWN:
                data["username"] = ""  # or the hub would log it, and show it on its page
        RECORD.tell(model["name"] if model else who, "login", "ok" if model else "refused", address)
        if model:
            await self.follower.bring(model["name"])
        return model

    async def throttled(self, name, compare):
        """What compare gives for a password of name. After FAILURES that were wrong, the right one is refused too, for PAUSE seconds."""
        # One after the other: of many at once each would find that few were wrong before.
        async with self.trying.setdefault(name, asyncio.Lock()):
            count, last = self.failures.get(name, (0, 0.0))
            if count >= self.FAILURES and time.monotonic() - last < self.PAUSE:
                raise web.HTTPError(429, f"Too many wrong passwords for {name}. Try again in a minute.", reason="Too Many Wrong Passwords")
            found = await compare()
            if found:
                self.failures.pop(name, None)
                return found
            count += 1
            self.failures[name] = (count, time.monotonic())
            if count >= self.FAILURES:
                self.log.warning("log-in of %s: paused after %d wrong passwords", name, count)
            return None

    async def run_post_auth_hook(self, handler, model):
        model = await super().run_post_auth_hook(handler, model)
        if model and model["name"] in ACCOUNTS.get():
            model["admin"] = ACCOUNTS.get()[model["name"]]["admin"]
        return model

    async def refresh_user(self, user, handler=None):
        # False asks for a log-in: who was removed gets none.
        if not Follower.fits(user):
            return False
        return {"name": user.name, "admin": ACCOUNTS.get()[user.name]["admin"]}


class PasswordAuthenticator(OfTheMesh, Authenticator):
    """Names and PBKDF2-HMAC-SHA256 hashes of the accounts' file, which Go writes: the hub has no password."""

    LONGEST_PASSWORD = 1024
    NOBODY = {"salt": "00" * 16, "iterations": 600_000, "hash": "00" * 32}

    @staticmethod
    def fits(stored, password):
        want = bytes.fromhex(stored["hash"])
        got = hashlib.pbkdf2_hmac("sha256", password, bytes.fromhex(stored["salt"]), stored["iterations"], len(want))
        return hmac.compare_digest(got, want)

    async def authenticate(self, handler, data):
        name, password = data.get("username", ""), data.get("password", "").encode("utf-8", "surrogatepass")
        account = ACCOUNTS.get().get(name)
        if len(password) > self.LONGEST_PASSWORD:
            self.log.warning("log-in of %s: a password of %d bytes was not looked at", name if account else UNKNOWN, len(password))
            return None
        if not account:
            # It costs the same time. The event loop goes on meanwhile.
            await asyncio.to_thread(self.fits, self.NOBODY, password)
            return None
        return name if await self.throttled(name, lambda: asyncio.to_thread(self.fits, account["password"], password)) else None


c.JupyterHub.authenticator_class = PasswordAuthenticator
c.Authenticator.any_allow_config = True  # OfTheMesh decides
c.Authenticator.auth_refresh_age = 60
c.Authenticator.refresh_pre_spawn = True

if E.get("MESH_HUB_LOGIN") and (E["MESH_HUB_SPAWNER"] != "pod" or os.path.exists(E["MESH_HUB_LOGIN"])):
    login = json.loads(pathlib.Path(E["MESH_HUB_LOGIN"]).read_text())
    if login["kind"] == "oidc":
        from oauthenticator.generic import GenericOAuthenticator as Base

        class FromOutside(OfTheMesh, Base):
            pass
    elif login["kind"] == "ldap":
        from ldapauthenticator import LDAPAuthenticator as Base

        class FromOutside(OfTheMesh, Base):
            async def authenticate(self, handler, data):
                # Of who is not of the mesh the directory is not asked: it would tell whose passwords are right.
                name = self.normalize_username(data["username"])
                return await self.throttled(name, lambda: Base.authenticate(self, handler, data)) if self.check_allowed(name, None) else None
    else:
        raise ValueError(f"{E['MESH_HUB_LOGIN']}: kind {login['kind']!r} is neither oidc nor ldap")
    c.JupyterHub.authenticator_class = FromOutside
    for trait, value in login["settings"].items():
        if trait.startswith(("allow", "admin")):
            raise ValueError(f"{E['MESH_HUB_LOGIN']}: {trait}: who may come in is decided by the mesh's list")
        setattr(c[Base.__name__], trait, value)


# ---- tokens -------------------------------------------------------------------------------------


def sign(name):
    """A token that says to Trino, for as long as a server may run, that its bearer is the person."""
    now = int(time.time())
    claims = {"iss": "datameesh", "aud": "trino", "sub": name, "preferred_username": name, "iat": now, "nbf": now, "exp": now + LONGEST}
    return jwt.encode(claims, TOKEN_KEY, algorithm="RS256")


class TokenHandler(APIHandler):
    """POST /hub/api/trino-token: a new token for the person whose server asks."""

    def post(self):
        if "custom:trino-token" not in self.expanded_scopes or not hasattr(self.current_user, "spawners"):
            raise web.HTTPError(403, "Only a person's own server gets tokens for Trino.")
        if self.current_user.name not in ACCOUNTS.get():
            raise web.HTTPError(403, f"{self.current_user.name} is not one of the people of the mesh any more.")
        RECORD.tell(self.current_user.name, "renew-token", "ok", self.request.remote_ip)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"token": sign(self.current_user.name)}))


c.JupyterHub.extra_handlers = [(r"/api/trino-token", TokenHandler)]
c.JupyterHub.custom_scopes = {"custom:trino-token": {"description": "get tokens for Trino as oneself"}}


# ---- servers ------------------------------------------------------------------------------------


def environment(name):
    """What a person's server gets to know: who they are, and where everything is."""
    token = sign(name)
    env = {variable.removeprefix("MESH_SERVER_"): value for variable, value in E.items() if variable.startswith("MESH_SERVER_")}
    env |= {
        "TRINO_USER": name,
        "TRINO_AUTH": "jwt",
        "TRINO_TOKEN": token,
        "DBT_ENV_SECRET_TRINO_TOKEN": token,  # dbt keeps what begins like this out of its logs
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    account = ACCOUNTS.get()[name]
    # Log-ins of their own, and none where their group has none.
    env["MESH_DATABASES"] = json.dumps(account.get("databases", {}))
    key = account.get("storeKey")
    if key:
        env |= {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": key}
    return env


def before_start(spawner):
    spawner.environment = environment(spawner.user.name)
    RECORD.tell(spawner.user.name, "start-server", "ok")


def after_stop(spawner):
    RECORD.tell(spawner.user.name, "stop-server", "ok")


c.Spawner.pre_spawn_hook = before_start
c.Spawner.post_stop_hook = after_stop
c.Spawner.env_keep = ["LANG", "TZ"]  # nothing of the hub's own environment leaks in
c.Spawner.default_url = "/lab/tree/mesh/customer_journey/00-welcome.ipynb"
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
c.Spawner.args = [
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    f"--LabApp.app_settings_dir={E.get('MESH_SERVER_LAB_SETTINGS', FILES / 'lab')}",
]

if E["MESH_HUB_SPAWNER"] == "process":
    from jupyterhub.spawner import LocalProcessSpawner

    HOMES, SPAWN = pathlib.Path(E["MESH_HUB_HOMES"]), E.get("MESH_HUB_SPAWN", "")
    PYTHON = E["MESH_NOTEBOOK_ENVIRONMENT"] + "/bin/python"
    MEMORY = int(E["MESH_NOTEBOOK_MEMORY"])

    class ProcessSpawner(LocalProcessSpawner):
        """A process for a person. With MESH_HUB_SPAWN under a user id of their own, with a home folder that
        nobody else may read; without it, as the hub's user: there is nothing between people then."""

        started_as = None  # the user id of the server that runs, whatever becomes of its person

        @property
        def home(self):
            return HOMES / ACCOUNTS.get()[self.user.name].get("home", self.user.name)

        @property
        def uid(self):
            return ACCOUNTS.uid(self.user.name) if self.started_as is None else self.started_as

        def get_state(self):
            state = super().get_state()
            if self.started_as is not None:
                state["uid"] = self.started_as
            return state

        def load_state(self, state):
            super().load_state(state)
            self.started_as = state.get("uid")

        def user_env(self, env):
            env |= {
                "HOME": str(self.home), "USER": self.user.name, "LOGNAME": self.user.name, "SHELL": "/bin/bash",
                "PATH": f"{E['MESH_NOTEBOOK_ENVIRONMENT']}/bin:{E['MESH_DBT_ENVIRONMENT']}/bin:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(FILES / "python"),
                "TMPDIR": str(self.home / ".tmp"),  # people would share /tmp/jupyter_checkpoints
                "MESH_SERVER_LOG": str(self.home / ".jupyter-server.log"),  # the hub's log is for what the hub says
                "MESH_NOTEBOOK_SERVER": f"{self.user.name}@{E['MESH_HUB_MARK']}",
            }
            return env

        def make_preexec_fn(self, name):
            home = str(self.home)

            def preexec():  # in the child
                os.umask(0o077)
                if not SPAWN:
                    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
                    most = MEMORY if hard == resource.RLIM_INFINITY else min(hard, MEMORY)  # nobody may raise it
                    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
                    os.chdir(home)

            return preexec

        async def start(self):
            self.home.mkdir(mode=0o700, exist_ok=True)
            self.notebook_dir = str(self.home)
            self.cmd = [PYTHON, "-m", "meesh.start"]
            if SPAWN:
                self.started_as = ACCOUNTS.get()[self.user.name]["uid"]
                self.cmd = [SPAWN, "run", str(self.uid), str(self.home), str(MEMORY), *self.cmd]
            return await super().start()

        async def _signal(self, sig):
            if not SPAWN:
                return await super()._signal(sig)
            if sig == 0:  # after a restart of the hub another process may have the number
                try:
                    return os.stat(f"/proc/{self.pid}").st_uid == self.uid
                except FileNotFoundError:
                    return False
            process = await asyncio.create_subprocess_exec(SPAWN, "signal", str(self.uid), str(self.pid), str(int(sig)))
            return await process.wait() == 0

        async def end_all(self):
            """End whatever the person has left running, which no signal to the server reaches."""
            if SPAWN:
                process = await asyncio.create_subprocess_exec(SPAWN, "end", str(self.uid))
                if await process.wait() != 0:
                    app_log.error("processes of %s run on after their server: see above", self.user.name)

    async def after_process(spawner):
        after_stop(spawner)
        await spawner.end_all()

    c.JupyterHub.spawner_class = ProcessSpawner
    c.Spawner.post_stop_hook = after_process
    c.Spawner.ip = "127.0.0.1"
    if not SPAWN:
        c.JupyterHub.template_vars = {
            "announcement": "Nothing keeps people apart here: this mesh was started by an ordinary user, so all notebooks run as that user. "
            "Started by root, each person has a user of their own."
        }


if E["MESH_HUB_SPAWNER"] == "pod":

    def before_pod(spawner):
        # KubeSpawner takes a brace for a place to fill in.
        before_start(spawner)
        spawner.environment = {k: v.replace("{", "{{").replace("}", "}}") for k, v in spawner.environment.items()}

    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.Spawner.pre_spawn_hook = before_pod
    pod = c.KubeSpawner
    pod.image = E["MESH_NOTEBOOK_IMAGE"]
    pod.image_pull_policy = "IfNotPresent"
    pod.cmd = ["python3", "-m", "meesh.start"]
    pod.pod_name_template = "jupyter-{user_server}"
    # Network policies select by the first.
    pod.common_labels = {
        "app.kubernetes.io/name": "notebook", "app.kubernetes.io/component": "notebooks", "app.kubernetes.io/part-of": "datameesh",
        "app.kubernetes.io/managed-by": "kubespawner",
    }
    pod.service_account = "notebook"
    pod.automount_service_account_token = False
    pod.extra_pod_config = {"enableServiceLinks": False}
    # Pod Security "restricted". People share the user id: what keeps them apart is that nobody's pod has another's folder.
    pod.uid = pod.gid = pod.fs_gid = 1000
    pod.allow_privilege_escalation = False
    pod.pod_security_context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod.container_security_context = {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pod.cpu_guarantee, pod.cpu_limit = 0.05, 2
    pod.mem_guarantee, pod.mem_limit = "192M", "2G"
    claim, home = E["MESH_NOTEBOOK_CLAIM"], {"name": "home", "mountPath": E["MESH_SERVER_HOME"], "subPath": "home/{username}"}
    if not claim:
        claim = pod.pvc_name_template = "home-{username}"
        home.pop("subPath")
        pod.storage_pvc_ensure, pod.storage_capacity = True, E["MESH_NOTEBOOK_STORAGE"]
        pod.storage_class, pod.storage_access_modes = E["MESH_NOTEBOOK_STORAGE_CLASS"], ["ReadWriteOnce"]
    pod.volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": claim}},
        {"name": "ca", "secret": {"secretName": "ca", "defaultMode": 0o440, "items": [{"key": "ca.pem", "path": "ca.pem"}]}},
        {"name": "tmp", "emptyDir": {}},
    ]
    pod.volume_mounts = [
        home,
        {"name": "ca", "mountPath": "/run/ca", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]


# ---- addresses, secrets, services ---------------------------------------------------------------

c.JupyterHub.bind_url = E["MESH_HUB_URL"]
c.JupyterHub.hub_bind_url = E["MESH_HUB_API_URL"]
if E.get("MESH_HUB_CONNECT_URL"):
    c.JupyterHub.hub_connect_url = E["MESH_HUB_CONNECT_URL"]
# The proxy is a process of its own: people work on while the hub is away, and servers outlive it.
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = E["MESH_HUB_PROXY_URL"]
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = f"sqlite:///{E['MESH_HUB_STATE']}/jupyterhub.sqlite"
c.JupyterHub.cookie_max_age_days = 1
c.JupyterHub.concurrent_spawn_limit = 4
c.JupyterHub.active_server_limit = 20
c.JupyterHub.activity_resolution = min(30, IDLE // 4)
# Then the hub also tells the proxy what it lacks: all, when it was started anew.
c.JupyterHub.last_activity_interval = 3
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [
            "setpriv", "--pdeathsig", "TERM",  # JupyterHub gives it a session of its own: it would outlive a hub that is killed
            sys.executable, "-m", "jupyterhub_idle_culler",
            f"--timeout={IDLE}", f"--max-age={LONGEST}", f"--cull-every={max(5, IDLE // 12)}",
        ],
    }
]
c.JupyterHub.load_roles = [
    {"name": "idle-culler", "services": ["idle-culler"], "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]},
    {"name": "user", "scopes": ["self", "custom:trino-token"]},
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", "custom:trino-token"]},
]
