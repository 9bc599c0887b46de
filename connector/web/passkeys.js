// Asks the browser for a passkey and submits it with the form. Without this script every page works, except for passkeys.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function decodeOptions(options) {
  const ids = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));
  const decoded = { ...options, challenge: bytes(options.challenge) };
  if (options.user) return { ...decoded, user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: ids(options.excludeCredentials) };
  return { ...decoded, allowCredentials: ids(options.allowCredentials) };
}

function encodeCredential(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  const { id, type } = credential;
  return JSON.stringify({ id, rawId: text(credential.rawId), type, response, clientExtensionResults: {} });
}

async function requestPasskey(form, button) {
  const problem = form.querySelector("[data-problem]");
  problem.textContent = "";
  try {
    const publicKey = decodeOptions(JSON.parse(button.dataset.passkey));
    const credential = await (publicKey.user ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
    form.elements[button.dataset.field].value = encodeCredential(credential);
    form.noValidate = true; // the password is not needed with a passkey
    if (button.dataset.action) form.setAttribute("action", button.dataset.action);
    form.submit();
  } catch (error) {
    problem.textContent = error.name === "NotAllowedError" ? "No passkey was used: the request timed out or was cancelled." : error.message;
  }
}

for (const button of document.querySelectorAll("button[data-passkey]")) {
  if (!window.PublicKeyCredential) {
    if (JSON.parse(button.dataset.passkey).user) button.form.querySelector("[data-problem]").textContent = "This browser does not support passkeys. Use another browser.";
    continue;
  }
  button.hidden = false;
  button.addEventListener("click", () => requestPasskey(button.form, button));
}
