// Marks the section in view in the navigation; closes the account menu as menus close.

/** A section above this line of the window counts as reached. */
const REACHED_PX = 140;

/** @param {Element} nav */
export function followSections(nav) {
  const links = new Map(
    [...nav.querySelectorAll('a[data-section]')].map((link) => [link.getAttribute('data-section'), link]),
  );
  const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  document.addEventListener('scroll', mark, { passive: true });
  mark();

  /** The current section is the last that has come up to the top bar; at the page's end, the last. */
  function mark() {
    const atEnd = scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
    const reached = sections.filter((section) => atEnd || section.getBoundingClientRect().top < REACHED_PX);
    const current = reached.at(-1) ?? sections[0];
    for (const [id, link] of links) {
      if (id === current.id) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }
}

/** @param {HTMLDetailsElement | null} menu */
export function closeable(menu) {
  if (!menu) return;
  document.addEventListener('click', (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary').focus();
  });
}
