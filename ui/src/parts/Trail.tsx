import "./parts.css";
import { Fragment } from "react";
import { Link } from "wouter";

/** Where one is: the places above this one, as links. */
export function Trail({ above, here }: { above: [string, string][]; here: string }) {
  return (
    <nav aria-label="Place" className="fb-trail">
      {above.map(([name, href]) => (
        <Fragment key={href}>
          <Link href={href}>{name}</Link>
          <span aria-hidden="true">›</span>
        </Fragment>
      ))}
      <span aria-current="page">{here}</span>
    </nav>
  );
}
