// Lets a form ask this device for a passkey: the one script there is. Without it every page works, passkeys aside.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function asked(options) {
  const ids = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));
  const made = { ...options, challenge: bytes(options.challenge) };
  if (options.user) return { ...made, user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: ids(options.excludeCredentials) };
  return { ...made, allowCredentials: ids(options.allowCredentials) };
}

function answered(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  const { id, type } = credential;
  return JSON.stringify({ id, rawId: text(credential.rawId), type, response, clientExtensionResults: {} });
}

async function ask(form, button) {
  const problem = form.querySelector("[data-problem]");
  problem.textContent = "";
  try {
    const publicKey = asked(JSON.parse(button.dataset.passkey));
    const credential = await (publicKey.user ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
    form.elements[button.dataset.field].value = answered(credential);
    form.noValidate = true; // what else the form asks for is not needed then
    if (button.dataset.action) form.setAttribute("action", button.dataset.action);
    form.submit();
  } catch (error) {
    problem.textContent = error.name === "NotAllowedError" ? "The device did not answer, or you said no." : error.message;
  }
}

for (const button of document.querySelectorAll("button[data-passkey]")) {
  if (!window.PublicKeyCredential) {
    if (JSON.parse(button.dataset.passkey).user) button.form.querySelector("[data-problem]").textContent = "This browser knows no passkeys. Use another one.";
    continue;
  }
  button.hidden = false;
  button.addEventListener("click", () => ask(button.form, button));
}
