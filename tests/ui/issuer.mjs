// A real OpenID Connect issuer (oidc-provider) for tests: it listens on loopback, and does what the test says, a line of JSON on
// stdin for each wish and one on stdout for each answer. Signing in asks for a name alone.

import {createHmac, createPublicKey} from 'node:crypto';
import {readFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import {createInterface} from 'node:readline';
import {SignJWT, exportJWK, generateKeyPair} from 'jose';
import Provider from 'oidc-provider';

const {ISSUER_CERT: cert, ISSUER_KEY: key} = process.env;

// Who may sign people in by it, and whose roles are which; changed by the test.
const clients = [];
const people = new Map();
let methods = ['client_secret_basic', 'client_secret_post', 'none'];
// How long ID tokens live from now on, in seconds.
let life = 3600;
let keys = [];
let handler = null;

async function newKey() {
  const pair = await generateKeyPair('RS256', {extractable: true});
  const kid = `key-${Date.now()}-${Math.random().toString(36).slice(2)}`;
  return {...pair, kid, jwk: {...await exportJWK(pair.privateKey), kid, use: 'sig', alg: 'RS256'}};
}

const wrap = (title, body) => `<!doctype html><html lang="en"><title>${title}</title><link rel="icon" href="data:,"><h1>${title}</h1>${body}`;

function provider(issuer) {
  const made = new Provider(issuer, {
    clients,
    clientAuthMethods: methods,
    jwks: {keys: keys.map((one) => one.jwk)},
    cookies: {keys: ['only for tests']},
    claims: {openid: ['sub'], profile: ['preferred_username', 'realm_access']},
    // Roles in the ID token itself, as other issuers have them.
    conformIdTokenClaims: false,
    ttl: {IdToken: () => life, AccessToken: 3600, Session: 3600, Grant: 3600, Interaction: 600, ClientCredentials: 600},
    features: {
      devInteractions: {enabled: false},
      clientCredentials: {enabled: true},
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, client, one) => (one ?? (client.grantTypes.includes('client_credentials') ? 'urn:waybill' : undefined)),
        getResourceServerInfo: () => ({scope: '', audience: 'waybill-api', accessTokenFormat: 'jwt', jwt: {sign: {alg: 'RS256'}}}),
      },
    },
    extraTokenClaims: (ctx, token) => ({realm_access: {roles: people.get(token.clientId) ?? []}}),
    findAccount: (ctx, id) => ({accountId: id, claims: () => ({sub: `sub-of-${id}`, preferred_username: id, realm_access: {roles: people.get(id) ?? []}})}),
    // Nobody is asked for consent.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId});
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
    interactions: {url: (ctx, interaction) => `/login/${interaction.uid}`},
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = wrap('The issuer says no', `<p>${out.error}: ${out.error_description}</p>`);
    },
  });
  const callback = made.callback();
  return async (request, response) => {
    if (!request.url.startsWith('/login/')) {
      callback(request, response);
    } else if (request.method === 'GET') {
      response.setHeader('content-type', 'text/html');
      response.end(wrap('The issuer asks who you are', '<form method="post"><label>User <input name="user"></label><button>Go on</button><button name="no" value="1">No</button></form>'));
    } else {
      const body = [];
      for await (const part of request) body.push(part);
      const form = new URLSearchParams(Buffer.concat(body).toString());
      const result = form.get('no') ? {error: 'access_denied', error_description: 'The user said <b>no</b>'} : {login: {accountId: form.get('user')}};
      await made.interactionFinished(request, response, result, {mergeWithLastSubmission: false});
    }
  };
}

function newServer() {
  const answer = (request, response) => {
    asked += 1;
    handler(request, response);
  };
  return cert ? https.createServer({cert: readFileSync(cert), key: readFileSync(key)}, answer) : http.createServer(answer);
}

let asked = 0;
let server = null;
let port = 0;

async function listen() {
  server = newServer();
  await new Promise((done, wrong) => server.once('error', wrong).listen(port, '127.0.0.1', done));
  port = server.address().port;
}

const base64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const wishes = {
  // What it is called.
  issuer: () => ({issuer}),
  // `methods`: how clients may show who they are.
  client: ({methods: taken, ...client}) => {
    methods = taken ?? methods;
    clients.push(client);
    handler = provider(issuer);
  },
  roles: ({name, roles}) => { people.set(name, roles); },
  life: ({seconds}) => { life = seconds; },
  asked: () => ({asked}),
  // A JWT by the newest key, or by another: `by` is none, hmac (over the public key) or stranger.
  async sign({claims, header = {}, by}) {
    const [{privateKey, publicKey, kid}] = keys;
    const now = Math.floor(Date.now() / 1000);
    const all = {iss: issuer, sub: 'sub', aud: 'waybill', iat: now, exp: now + 600, preferred_username: 'ada', ...claims};
    for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
    if (by === 'none') return {token: `${base64({alg: 'none', kid, ...header})}.${base64(all)}.`};
    if (by === 'hmac') {
      const message = `${base64({alg: 'HS256', kid, ...header})}.${base64(all)}`;
      const pem = createPublicKey({key: await exportJWK(publicKey), format: 'jwk'}).export({type: 'spki', format: 'pem'});
      return {token: `${message}.${createHmac('sha256', pem).update(message).digest('base64url')}`};
    }
    const signer = by === 'stranger' ? (await newKey()).privateKey : privateKey;
    return {token: await new SignJWT(all).setProtectedHeader({alg: 'RS256', kid, ...header}).sign(signer)};
  },
  // A new key, by which all is signed from now on; the old one stays, unless it is withdrawn.
  async rotate({withdraw = false}) {
    keys = [await newKey(), ...(withdraw ? [] : keys)];
    handler = provider(issuer);
  },
  async away() {
    server.closeAllConnections();
    await new Promise((done) => { server.close(done); });
  },
  back: listen,
};

keys = [await newKey()];
handler = (request, response) => response.end();
await listen();
const issuer = `${cert ? 'https' : 'http'}://127.0.0.1:${port}`;
handler = provider(issuer);
for await (const line of createInterface({input: process.stdin})) {
  const {wish, ...rest} = JSON.parse(line);
  const answer = await wishes[wish](rest);
  console.log(`answer ${JSON.stringify(answer ?? {})}`);
}
process.exit(0);
