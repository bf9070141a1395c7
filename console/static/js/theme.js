// The colour theme: automatic, light, dark.  The server remembers it in a cookie; with
// scripts the page need not be loaded anew for it.

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' };

/** @param {HTMLFormElement} form which asks the server */
export function themeSwitch(form) {
  const root = document.documentElement;
  const button = form.querySelector('button');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const theme = button.value;
    const body = new FormData(form, button);
    fetch(form.action, { method: 'POST', body, redirect: 'manual' }).catch(() => {});
    root.setAttribute('data-theme', theme);
    button.value = NEXT[theme];
    button.setAttribute('aria-label', `Colour theme: ${theme}. Change to ${NEXT[theme]}`);
  });
}
