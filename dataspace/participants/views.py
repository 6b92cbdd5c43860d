"""Signing in and out of the portal's pages. It lets people read; what is signed is signed at their own office."""

from django.contrib.auth import views as auth


class SignIn(auth.LoginView):
    """The door: also the first page for whoever is not signed in."""

    template_name = "sign_in.html"
    redirect_authenticated_user = True


class SignOut(auth.LogoutView):
    """Out, by POST only."""

    http_method_names = ("post", "options")
