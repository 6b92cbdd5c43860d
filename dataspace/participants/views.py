"""Signing in and out of the portal's pages. It lets people read; what is signed is signed at their own office."""

from typing import Any

from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from dataspace.participants import policies, queries
from dataspace.participants.services import sign_in


class SignIn(auth.LoginView):
    """The door: also the first page for whoever is not signed in. A name that failed often has to wait."""

    template_name = "sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        failures = queries.failed_sign_ins(self._name(), now=timezone.now())
        if not policies.may_try_to_sign_in(failures):
            context = self.get_context_data(form=AuthenticationForm(request), held=True)
            response = self.render_to_response(context, status=429)
            response["Retry-After"] = str(int(policies.FAILURES_COUNT_FOR.total_seconds()))
            return response
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        sign_in.forget_failed_sign_ins(now=timezone.now(), name=self._name())
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        sign_in.note_failed_sign_in(self._name(), now=timezone.now())
        return super().form_invalid(form)

    def _name(self) -> str:
        return str(self.request.POST.get("username", ""))


class SignOut(auth.LogoutView):
    """Out, by POST only."""

    http_method_names = ("post", "options")
