// The colour theme: automatic, light, dark; remembered in a cookie that the server reads, too.

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' };
const YEAR_S = 31_536_000;

/** @param {HTMLFormElement} form which does the same without scripts */
export function themeSwitch(form) {
  const root = document.documentElement;
  const button = form.querySelector('button');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const theme = button.value;
    root.setAttribute('data-theme', theme);
    document.cookie = `xtcp_theme=${theme}; path=/; max-age=${YEAR_S}; samesite=strict`;
    button.value = NEXT[theme];
    button.setAttribute('aria-label', `Colour theme: ${theme}. Change to ${NEXT[theme]}`);
  });
}
